"""What a run recorded, as small images: for TensorBoard, 350 pixels wide.

Of one run or of all seeds of a configuration: counts of the seeds are added, curves drawn one a
seed; filters and the plane of the loss are those of the first seed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import safe_open

from losslab.figures.canvas import INK, MUTED, PALE, SMALL_WIDTH, Image, image, new_figure, small
from losslab.figures.drawing import Curve, Drawing, Field, Panel
from losslab.figures.panels import plain_panels
from losslab.figures.styles import LOSS_STYLES, PURPLE, SOLID, Style
from losslab.files import read_json
from losslab.metrics import ClassificationSums, reliability
from losslab.recording import Run, read_records

Array = npt.NDArray[Any]
Columns = Mapping[str, list[float]]

MOST_NAMED = 20
"""Classes that a confusion matrix has names and numbers for."""
MOST_FILTERS, WORST = 64, 15
_BINS = 50
# Of normalisation layers: they are no weights.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one run recorded, in numpy.

    Attributes:
        seed: Of the run.
        logits: ``(N, K)`` of the validation part.
        labels: ``(N,)`` of it.
        weights: By name, without the statistics of normalisation.
        curves: As in ``curves.jsonl``, the last of each.
        class_names: K names.
        test_logits: ``(M, K)``, if known.
        test_labels: ``(M,)`` likewise.
    """

    seed: int
    logits: Array
    labels: Array
    weights: Mapping[str, Array]
    curves: Mapping[str, Columns]
    class_names: Sequence[str]
    test_logits: Array = field(default_factory=lambda: np.zeros((0, 1)))
    test_labels: Array = field(default_factory=lambda: np.zeros(0, np.int64))


def read_recorded(run: Run) -> Recorded | None:
    """Read a finished run; ``None`` without predictions and weights for numpy."""
    files = run.files
    try:
        predictions = _read_tensors(files.predictions)
        weights = _read_tensors(files.model)
        test, val = ([predictions[f"{part}/{name}"] for name in ("logits", "labels")]
                     for part in ("test", "val"))  # fmt: skip
    except (OSError, KeyError, TypeError):  # numpy has no bfloat16
        return None
    curves: dict[str, Columns] = {}
    for record in read_records(files.curves):
        curves |= {name: columns for name, columns in record.items() if name.startswith("why/")}
    try:
        names = list(map(str, read_json(files.about_model)["class_names"]))
    except (ValueError, KeyError, TypeError):  # of an earlier version
        names = list(map(str, range(val[0].shape[1])))
    return Recorded(
        seed=run.seed,
        logits=val[0],
        labels=val[1].astype(np.int64),
        weights={k: v for k, v in weights.items() if not k.endswith(_STATISTICS)},
        curves=curves,
        class_names=names,
        test_logits=test[0],
        test_labels=test[1].astype(np.int64),
    )


def _read_tensors(path: Path) -> dict[str, Array]:
    with safe_open(path, framework="numpy") as file:
        names = file.keys()  # there is no other way to go through them
        return {name: file.get_tensor(name) for name in names}


def run_images(
    runs: Sequence[Recorded], *, name: str, loss: str, prior: Mapping[str, Any] | None = None
) -> dict[str, Image]:
    """Draw all that there are numbers for.

    Args:
        runs: The seeds of one configuration, all with finite logits.
        name: The configuration's, which each image is labelled with.
        loss: Config name, for its colour.
        prior: The configuration of the prior of the weights, if any.

    Returns:
        Tag to image.
    """
    seeds = f"{len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0].seed}"
    style = LOSS_STYLES.get(loss, Style(PURPLE, "o", SOLID))
    figures = {
        "confusion_matrix/val": confusion_matrix(runs),
        "reliability/val": reliability_diagram(runs, style=style),
        "gradient_profile/train": _curve_a_seed(
            runs, "why/logit_gradients/profile", x="p_true", y="mean", style=style,
            title="Mean gradient in the logits, training part",
            x_label="probability of the true class", y_label="mean norm",
        ),
        "weights/density": weight_density(runs, style=style, prior=prior or {}),
        "first_layer/filters": first_layer(runs[0]),
        "loss_surface/line": _curve_a_seed(
            runs, "why/landscape/line", x="position", y="loss", style=style,
            title="Loss between initial and final weights",
            x_label="0: initial weights, 1: final weights", y_label="mean loss", marks=(0, 1),
        ),
        "loss_surface/plane": loss_plane(runs[0]),
    }  # fmt: skip
    return {
        tag: label_image(figure, f"{name}, {seeds}") for tag, figure in figures.items() if figure
    }


def label_image(figure: Figure, name: str) -> Image:
    """Return a figure as an image that says whose it is."""
    # As TensorBoard shows many side by side; what does not fit is in the run's name beside it.
    lines = [name[:64], name[64:128]] if len(name) > 64 else [name]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=7, color=MUTED)
    return image(figure)


@small
def confusion_matrix(runs: Sequence[Recorded]) -> Figure:
    """Draw how often each class was taken for each, of all seeds together."""
    names = runs[0].class_names
    classes = len(names)
    counts = np.zeros((classes, classes))
    for run in runs:
        places = run.labels * classes + run.logits.argmax(axis=1)
        counts += np.bincount(places, minlength=classes**2).reshape(classes, classes)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axis,) = new_figure(SMALL_WIDTH, 3.6)
    # White for never, the root because mistakes are few.
    axis.imshow(np.sqrt(rows), cmap="Blues", vmin=0, vmax=1, aspect="equal")
    right = np.trace(counts) / max(counts.sum(), 1)
    axis.set_title(f"Confusion, validation part: {right:.1%} right")
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.set_xticks([])
    axis.set_yticks([])
    if classes <= MOST_NAMED:
        size = 7 if classes <= 12 else 5
        axis.set_yticks(range(classes), [name[:9] for name in names], fontsize=size)
        turn = 90 if max(map(len, names)) > 3 else 0
        axis.set_xticks(range(classes), [n[:9] for n in names], fontsize=size, rotation=turn)
        for true, predicted in np.argwhere(counts):
            axis.text(
                predicted, true, f"{counts[true, predicted]:.0f}", ha="center", va="center",
                fontsize=size - 1.5 * (counts.max() >= 1000),
                color="white" if rows[true, predicted] > 0.3 else INK,
            )  # fmt: skip
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


@small
def reliability_diagram(runs: Sequence[Recorded], *, style: Style) -> Figure:
    """Draw accuracy against confidence, of all seeds' examples together."""
    sums = [ClassificationSums.of(run.logits.astype(np.float64), run.labels) for run in runs]
    ece = np.mean([each.scalars()["ece"] for each in sums])
    bins = reliability(sum(sums[1:], sums[0]))
    curve = Curve(
        label="", x=bins["confidence"], y=bins["accuracy"], weights=bins["count"], style=style
    )
    return _panel(
        [curve], title=f"Reliability, validation part: ECE {ece:.3f}", y_label="accuracy",
        x_label="confidence; dots: number of examples", diagonal=True, height=3.4,
    )  # fmt: skip


@small
def _curve_a_seed(
    runs: Sequence[Recorded], tag: str, *, x: str, y: str, style: Style, **labels: Any
) -> Figure | None:
    columns = [run.curves[tag] for run in runs if run.curves.get(tag, {}).get(y)]
    if not columns:
        return None
    curves = [
        Curve(label="", x=each[x], y=each[y], weights=each.get("count"),
              style=style._replace(line=SOLID, marker=""))
        for each in columns
    ]  # fmt: skip
    figure = _panel(curves, **labels)
    if "count" in columns[0]:
        figure.axes[0].set(xlim=(-0.02, 1.02), ylim=(0, None))
    return figure


@small
def loss_plane(run: Recorded) -> Figure | None:
    """Draw the mean loss on the plane through the final weights, dark where it is low."""
    columns = run.curves.get("why/landscape/surface", {})
    positive = np.array(columns.get("loss", [])) > 0
    if np.count_nonzero(positive) < 4:
        return None
    x, y, z = ([*np.array(columns[key])[positive].tolist()] for key in ("x", "y", "loss"))
    cross = Curve(label="", x=[0.0], y=[0.0], line=False, style=Style("white", "P", SOLID))
    return _panel(
        [cross], title=f"Loss around final weights, seed {run.seed}", y_label="another",
        x_label="a random direction, 1: as long as the weights", height=3.1,
        field=Field(x=x, y=y, z=z, label="mean loss", shares=False),
    )  # fmt: skip


def _panel(curves: list[Curve], *, height: float = 2.7, **more: Any) -> Figure:
    panels = [Panel(curves=curves, **more)]
    size = (SMALL_WIDTH, height)
    return plain_panels(Drawing(name="", caption="", panels=panels, size=size, title_width=60))


@small
def weight_density(
    runs: Sequence[Recorded], *, style: Style, prior: Mapping[str, Any]
) -> Figure | None:
    """Draw the density of all weights, with the prior's."""
    vectors = [weights.ravel() for run in runs for weights in run.weights.values()]
    weights = np.concatenate([*vectors, np.zeros(0)])
    if not len(weights) or not np.isfinite(weights).all():
        return None
    reach = float(np.abs(weights).max()) or 1.0
    density, edges = np.histogram(weights, bins=_BINS, range=(-reach, reach), density=True)
    name, height = prior_density(prior, np.linspace(-reach, reach, 4 * _BINS + 1))
    figure, (axis,) = new_figure(SMALL_WIDTH, 2.7)
    axis.stairs(density, edges, fill=True, color=PALE if name else style.color)
    if name:
        axis.plot(np.linspace(-reach, reach, len(height)), height, color=style.color)
    axis.set_title(f"All weights; line: {name}" if name else "All weights")
    axis.set_xlabel("weight")
    axis.set_ylabel("density")
    axis.set_ylim(bottom=0)
    return figure


def prior_density(prior: Mapping[str, Any], x: Array) -> tuple[str, Array]:
    """Return a prior in words and its density, of the same shape as ``x``; nothing for others.

    Args:
        prior: Its configuration, such as that of ``losslab.losses.GaussianPrior``.
        x: Weights.
    """
    kind = str(prior.get("_target_", "")).rpartition(".")[2]
    if kind == "GaussianPrior":
        std = float(prior["std"])
        density = np.exp(-((x / std) ** 2) / 2) / (np.sqrt(2 * np.pi) * std)
        return f"Gaussian prior of std {std:.3g}", density
    if kind == "LaplacePrior":
        scale = float(prior["scale"])
        return f"Laplace prior of scale {scale:.3g}", np.exp(-np.abs(x) / scale) / (2 * scale)
    return "", np.zeros(0)


@small
def first_layer(run: Recorded) -> Figure | None:
    """Draw the weights that are applied to the image itself, a tile a unit; grey is 0."""
    filters = first_layer_filters(run.weights)
    if filters is None:
        return None
    shown = filters[:MOST_FILTERS]
    if shown.shape[1] != 3:
        shown = shown.mean(axis=1, keepdims=True)
    largest = float(np.abs(shown).max()) or 1.0
    number = f"{len(shown)} of {len(filters)}" if len(filters) > len(shown) else f"{len(shown)}"
    axis, figure, _ = _tiles((shown / largest + 1) / 2, columns=min(8, len(shown)))
    axis.set_title(
        f"First layer, seed {run.seed}: {number} filters\n"
        f"black −{largest:.2g}, grey 0, white +{largest:.2g}"
    )
    return figure


def first_layer_filters(weights: Mapping[str, Array]) -> Array | None:
    """Return the weights ``(U, C, H, W)`` that a model applies to the image, as far as they tell.

    Of a first convolution its kernels, of a first linear layer its rows as square images of one or
    three channels, or several side by side; ``None`` for a model that begins otherwise.
    """
    # Files hold weights by name, so that blocks.10 comes before blocks.2.
    names = sorted(weights, key=lambda name: [int(part) if part.isdigit() else part
                                              for part in re.split(r"(\d+)", name)])  # fmt: skip
    matrices = [weights[name] for name in names if weights[name].ndim in (2, 4)]
    kernels = [w for w in matrices if w.ndim == 4]
    if kernels:
        return next((w for w in kernels if w.shape[1] in (1, 3)), None)
    for channels, beside in ((1, 1), (3, 1), (1, 2), (1, 3), (3, 2), (3, 3)):
        for weight in matrices[:1]:
            side = round((weight.shape[1] / channels / beside) ** 0.5)
            if side > 3 and side**2 * channels * beside == weight.shape[1]:
                return weight.reshape(-1, channels, side, side * beside)
    return None


@small
def worst_mistakes(run: Recorded, images: Array) -> Figure:
    """Draw the images that were given to a wrong class with most confidence.

    Args:
        run: Whose validation part ``images`` are.
        images: ``(N, C, H, W)`` uint8.
    """
    wide = run.logits.astype(np.float64)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    confidence, predicted = shares.max(axis=1) / shares.sum(axis=1), wide.argmax(axis=1)
    wrong = np.flatnonzero(predicted != run.labels)
    # Stable, so that of equal confidences the same ones come first on every machine.
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    shown = images[worst] / 255
    if shown.shape[1] != 3:
        shown = shown.mean(axis=1, keepdims=True)
    axis, figure, places = _tiles(shown, columns=5, below=0.42)
    for place, (x, y) in zip(worst, places, strict=True):
        names = (run.class_names[index][:8] for index in (run.labels[place], predicted[place]))
        axis.text(
            x, y, f"{' as '.join(names)}\n{confidence[place]:.1%}", ha="center", va="top",
            fontsize=6,
        )  # fmt: skip
    axis.set_title(
        f"Worst mistakes of {len(wrong)}, validation part\ntrue as predicted class, confidence"
    )
    return figure


def _tiles(
    images: Array, *, columns: int, below: float = 0.0
) -> tuple[Axes, Figure, list[tuple[float, float]]]:
    """Lay images ``(M, C, H, W)`` in [0, 1], C one or three, out in rows, in one picture.

    Args:
        images: M from 0 up.
        columns: Side by side.
        below: Room below each, of its height.

    Returns:
        The axes, the figure, and the middle of the lower edge of each image.
    """
    count, channels, height, width = images.shape
    rows, columns = max(1, -(-count // max(columns, 1))), max(columns, 1)
    gap = max(1, round(width / 12))
    step_y, step_x = round(height * (1 + below)) + gap, width + gap
    canvas = np.ones((rows * step_y, columns * step_x, channels))
    places = []
    for index, each in enumerate(images.transpose(0, 2, 3, 1)):
        top, left = (index // columns) * step_y, (index % columns) * step_x
        canvas[top : top + height, left : left + width] = each
        places.append((left + (width - 1) / 2, top + height))
    shape = min(max(rows * step_y / (columns * step_x), 0.1), 1.5)
    figure, (axis,) = new_figure(SMALL_WIDTH, 0.6 + 3.4 * shape)
    shown = canvas if channels == 3 else canvas[..., 0]
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    return axis, figure, places
