"""Build the summaries for TensorBoard's dashboards."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
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

_MOST_CURVES = 20  # classes that have a precision-recall curve each; of more only all together
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
    found = []
    for tag, each in values.items():
        some = each.ravel()[:: each.size // _MOST_VALUES + 1].astype(np.float64)
        limits = (0.0, 1.0) if tag == "p_true/val" else None
        counts, edges = np.histogram(some[np.isfinite(some)], bins=_BINS, range=limits)
        found.append(histogram(tag, counts, edges))
    return found


def histogram(tag: str, counts: Counts, edges: FloatArray) -> "Summary.Value":
    """Return a histogram from the counts ``(B,)`` between edges ``(B + 1,)``."""
    middles = (edges[1:] + edges[:-1]) / 2
    # Sums over bin centres, as the values are not available; TensorBoard shows neither.
    sums = {"sum": (counts * middles).sum(), "sum_squares": (counts * middles**2).sum()}
    proto = HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=counts.sum(),
        bucket=counts,
        **sums,
        bucket_limit=edges[1:],  # the first bin starts at the minimum
    )
    return Summary.Value(tag=tag, histo=proto)


def text(tag: str, markdown: str) -> "Summary.Value":
    """Return a text, shown as Markdown."""
    about = text_metadata.create_summary_metadata(display_name="", description="")
    return tensor(tag, markdown.encode(), about)


def precision_recall_curves(
    logits: FloatArray, labels: Counts, class_names: Sequence[str]
) -> list["Summary.Value"]:
    """Return a precision-recall curve per class, or one for all if there are more than 20."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    one_hot = np.eye(len(class_names), dtype=bool)[labels]
    groups: Mapping[str, Any] = {"all classes": slice(None)}
    if len(class_names) <= _MOST_CURVES:
        groups = {f"class {name}": index for index, name in enumerate(class_names)}
    curves = []
    for title, chosen in groups.items():
        p, of_class = shares[:, chosen].astype(np.float64), one_hot[:, chosen]
        if of_class.any():
            tag = f"precision_recall/{title.replace(' ', '_')}"
            title = f"{title}, test part"
            curves.append(precision_recall(tag, p[of_class], p[~of_class], title=title))
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
    at = np.quantile(positives, np.linspace(0, 1, points), method="higher")
    true, false = (
        len(values) - np.searchsorted(np.sort(values), at, side="left")
        for values in (positives, negatives)
    )
    precision, recall = true / (true + false), true / len(positives)
    counts = [true, false, len(negatives) - false, len(positives) - true]
    about = pr_curve_metadata.create_summary_metadata(
        display_name=title, description="", num_thresholds=points
    )
    return tensor(tag, np.array([*counts, precision, recall], dtype=np.float32), about)


def tensor(tag: str, content: FloatArray | bytes, about: SummaryMetadata) -> "Summary.Value":
    """Return a tensor summary with a plugin's metadata."""
    about.data_class = DATA_CLASS_TENSOR
    return Summary.Value(tag=tag, tensor=make_tensor_proto(content), metadata=about)
