"""Build the summaries for TensorBoard's dashboards."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_TENSOR,
    HistogramProto,
    Summary,
    SummaryMetadata,
)
from tensorboard.plugins.pr_curve import metadata as pr_curve_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from losslab.metrics import nll

FloatArray = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]

_MOST_CURVES = 20  # classes with a curve each; more share one
_BINS = 50
_MOST_VALUES = 100_000  # of a tensor, for its histogram


def scalars(values: Mapping[str, float]) -> list["Summary.Value"]:
    """Return tag to number as scalars."""
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]


def image(tag: str, png: bytes, width: int, height: int) -> "Summary.Value":
    """Return an encoded image; width and height in pixels."""
    content = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=3)
    return Summary.Value(tag=tag, image=content)


def histograms(
    logits: FloatArray, labels: Counts, weights: Mapping[str, FloatArray]
) -> list["Summary.Value"]:
    """Return histograms of finite logits ``(N, K)``, of p_true, and of weights by name."""
    p_true = np.exp(-nll(logits.astype(np.float64), labels, reduction="none"))
    values = {"logits/val": logits, "p_true/val": p_true}
    values |= {f"weights/{name}": value for name, value in weights.items() if value.ndim > 1}
    summaries = []
    for tag, array in values.items():
        sample = array.ravel()[:: array.size // _MOST_VALUES + 1].astype(np.float64)
        limits = (0.0, 1.0) if tag == "p_true/val" else None
        counts, edges = np.histogram(sample[np.isfinite(sample)], bins=_BINS, range=limits)
        summaries.append(histogram(tag, counts, edges))
    return summaries


def histogram(tag: str, counts: Counts, edges: FloatArray) -> "Summary.Value":
    """Return a histogram from the counts ``(B,)`` between edges ``(B + 1,)``."""
    centres = (edges[1:] + edges[:-1]) / 2
    proto = HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=counts.sum(),
        # Sums over bin centres, as the values are not available; TensorBoard shows neither.
        sum=(counts * centres).sum(),
        sum_squares=(counts * centres**2).sum(),
        bucket=counts,
        bucket_limit=edges[1:],  # the first bin starts at the minimum
    )
    return Summary.Value(tag=tag, histo=proto)


def text(tag: str, markdown: str) -> "Summary.Value":
    """Return a text, shown as Markdown."""
    metadata = text_metadata.create_summary_metadata(display_name="", description="")
    return tensor(tag, markdown.encode(), metadata)


def precision_recall_curves(
    logits: FloatArray, labels: Counts, class_names: Sequence[str]
) -> list["Summary.Value"]:
    """Return a precision-recall curve per class, or one for all if there are more than 20."""
    probabilities = softmax(logits, axis=1)
    one_hot = np.eye(len(class_names), dtype=bool)[labels]
    groups: Mapping[str, Any] = {"all classes": slice(None)}
    if len(class_names) <= _MOST_CURVES:
        groups = {f"class {name}": index for index, name in enumerate(class_names)}
    curves = []
    for title, chosen in groups.items():
        p, positive = probabilities[:, chosen].astype(np.float64), one_hot[:, chosen]
        if positive.any():
            tag = f"precision_recall/{title.replace(' ', '_')}"
            title = f"{title}, test part"
            curves.append(precision_recall(tag, p[positive], p[~positive], title=title))
    return curves


def precision_recall(
    tag: str, positives: FloatArray, negatives: FloatArray, *, title: str, points: int = 101
) -> "Summary.Value":
    """Return the precision-recall curve of a class from the scores of its examples and of others.

    Points are equally spaced in recall rather than in the score, as the softmax of outputs trained
    with squared error never comes near 1. (TensorBoard's tooltip assumes equally spaced thresholds;
    read its threshold as 1 - recall.)
    """
    # An example is assigned to the class if its score is at least the threshold.
    thresholds = np.quantile(positives, np.linspace(0, 1, points), method="higher")
    true, false = (
        len(values) - np.searchsorted(np.sort(values), thresholds, side="left")
        for values in (positives, negatives)
    )
    precision, recall = true / (true + false), true / len(positives)
    counts = [true, false, len(negatives) - false, len(positives) - true]
    metadata = pr_curve_metadata.create_summary_metadata(
        display_name=title, description="", num_thresholds=points
    )
    return tensor(tag, np.array([*counts, precision, recall], dtype=np.float32), metadata)


def tensor(tag: str, content: FloatArray | bytes, metadata: SummaryMetadata) -> "Summary.Value":
    """Return a tensor summary with a plugin's metadata."""
    metadata.data_class = DATA_CLASS_TENSOR
    return Summary.Value(tag=tag, tensor=make_tensor_proto(content), metadata=metadata)
