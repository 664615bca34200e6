"""Small images for TensorBoard, from the records of runs."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from losslab.figures.canvas import INK, MUTED, PALE, SMALL_DPI, SMALL_WIDTH, new_figure, small
from losslab.figures.drawing import Curve, Drawing, Field, Panel
from losslab.figures.panels import draw_panels
from losslab.figures.styles import LOSS_STYLES, PURPLE, SOLID, VERMILLION, Style
from losslab.metrics import ClassificationSums, confusion, reliability
from losslab.recording import Run, read_records

Array = npt.NDArray[Any]
Columns = Mapping[str, list[float]]

MOST_NAMED = 20  # classes with names and numbers in a confusion matrix
MOST_FILTERS = 64
_BINS = 50
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of normalisation layers


@dataclass(frozen=True)
class Recorded:
    """The records of one run, as numpy arrays."""

    seed: int
    logits: Array  # (N, K) of the validation part
    labels: Array  # (N,)
    weights: Mapping[str, Array]  # by name, without the statistics of normalisation
    curves: Mapping[str, Columns]  # as in ``curves.jsonl``, the last of each
    class_names: Sequence[str]  # K names
    test_logits: Array = field(default_factory=lambda: np.zeros((0, 1)))  # (M, K), if known
    test_labels: Array = field(default_factory=lambda: np.zeros(0, np.int64))  # (M,)
    mistakes: Array | None = None  # (W,) the worst of the validation part, if known
    mistaken: Array | None = None  # (W, C, H, W) their images, uint8


class Image(NamedTuple):
    """A PNG image for TensorBoard."""

    png: bytes
    width: int  # in pixels
    height: int


def read_recorded(run: Run) -> Recorded | None:
    """Read a finished run; ``None`` without predictions and weights for numpy."""
    files = run.files
    try:
        stored, weights = load_file(files.predictions), load_file(files.model)
        (logits, labels), (test_logits, test_labels) = (
            (stored[f"{part}/logits"], stored[f"{part}/labels"].astype(np.int64))
            for part in ("val", "test")
        )
    except (OSError, KeyError, TypeError):  # numpy has no bfloat16
        return None
    curves: dict[str, Columns] = {}
    for record in read_records(files.curves):
        curves |= {name: columns for name, columns in record.items() if name.startswith("why/")}
    weights = {name: v for name, v in weights.items() if not name.endswith(_STATISTICS)}
    return Recorded(
        seed=run.seed,
        logits=logits,
        labels=labels,
        weights=weights,
        curves=curves,
        class_names=run.class_names(logits.shape[1]),
        test_logits=test_logits,
        test_labels=test_labels,
        mistakes=stored.get("val/mistakes"),
        mistaken=stored.get("val/mistaken"),
    )


def run_images(
    runs: Sequence[Recorded],
    *,
    name: str,
    loss: str,
    prior: Mapping[str, Any] | None = None,
) -> dict[str, Image]:
    """Return by tag an image of all that there are numbers for, of the seeds of a configuration.

    Their logits are finite. Counts of the seeds are added, curves drawn one a seed; filters, the
    planes of the loss and mistakes are those of the first seed. Each image is labelled with the
    configuration's ``name`` and has the colour of its ``loss``.
    """
    seeds = f"{len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0].seed}"
    style = LOSS_STYLES.get(loss, Style(PURPLE, "o", SOLID))
    figures: dict[str, Figure | None] = {
        "confusion_matrix/val": confusion_matrix(runs),
        "reliability/val": reliability_diagram(runs, style=style),
        "gradient_profile/train": gradient_profile(runs, style=style),
        "weights/density": weight_density(runs, style=style, prior=prior or {}),
        "first_layer/filters": first_layer(runs[0]),
        "loss_surface/line": _curve_a_seed(
            runs,
            "why/landscape/line",
            x="position",
            y="loss",
            style=style,
            title="Loss between initial and final weights",
            x_label="0: initial weights, 1: final weights",
            y_label="mean loss",
            marks=(0, 1),
        ),
        "loss_surface/plane": loss_plane(runs[0]),
        "loss_surface/path": loss_path(runs[0]),
        "worst_mistakes/val": worst_mistakes(runs[0]),
    }
    return {
        tag: label_image(figure, f"{name}, {seeds}") for tag, figure in figures.items() if figure
    }


def label_image(figure: Figure, name: str) -> Image:
    """Return a figure, titled with the name of its configuration, as a reproducible PNG."""
    # TensorBoard shows many next to each other; the run's name next to it is complete.
    lines = [name[:64], name[64:128]] if len(name) > 64 else [name]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=7, color=MUTED, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SMALL_DPI, metadata={"Software": None})
    width, height = (round(inches * SMALL_DPI) for inches in figure.get_size_inches())
    return Image(buffer.getvalue(), width, height)


@small
def confusion_matrix(runs: Sequence[Recorded]) -> Figure:
    """Draw the confusion matrix over all seeds."""
    names = runs[0].class_names
    classes = len(names)
    counts = np.zeros((classes, classes))
    for run in runs:
        counts += confusion(run.logits.argmax(axis=1), run.labels, classes)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axis,) = new_figure(SMALL_WIDTH, 3.6)
    # White for never, the root because mistakes are few.
    axis.imshow(np.sqrt(rows), cmap="Blues", vmin=0, vmax=1, aspect="equal")
    right = np.trace(counts) / max(counts.sum(), 1)
    axis.set_title(f"Validation part: {right:.1%} right")
    axis.set(xlabel="predicted class", ylabel="true class", xticks=[], yticks=[])
    if classes <= MOST_NAMED:
        size = 7 if classes <= 12 else 5
        labels = [name if len(name) <= 12 else f"{name[:11]}…" for name in names]
        turn = 90 if max(map(len, names)) > 3 else 0
        axis.set_yticks(range(classes), labels, fontsize=size)
        axis.set_xticks(range(classes), labels, fontsize=size, rotation=turn)
        for true, predicted in np.argwhere(counts):
            axis.text(
                predicted,
                true,
                f"{counts[true, predicted]:.0f}",
                ha="center",
                va="center",
                fontsize=size - 1.5 * (counts.max() >= 1000),
                color="white" if rows[true, predicted] > 0.3 else INK,
            )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


@small
def reliability_diagram(runs: Sequence[Recorded], *, style: Style) -> Figure:
    """Draw accuracy against confidence over the examples of all seeds."""
    sums = [ClassificationSums.of(run.logits.astype(np.float64), run.labels) for run in runs]
    ece = np.mean([each.scalars()["ece"] for each in sums])
    bins = reliability(sum(sums[1:], sums[0]))
    curve = Curve(x=bins["confidence"], y=bins["accuracy"], weights=bins["count"], style=style)
    return _panel(
        [curve],
        title=f"Reliability, validation part: ECE {ece:.3f}",
        y_label="accuracy",
        x_label="confidence; dots: number of examples",
        diagonal=True,
        height=3.4,
    )


@small
def gradient_profile(runs: Sequence[Recorded], *, style: Style) -> Figure | None:
    """Draw the gradient's norm against p of the true class beside cross-entropy's, grey.

    That is ‖p − y‖: from (1 − p) √(K/(K − 1)), all other classes alike, to (1 − p) √2, one of them.
    All figures have the same axes, so that losses and studies can be held side by side.
    """
    classes = max(runs[0].logits.shape[1], 2)
    place = np.linspace(0, 0.999, 200)
    low, high = ((1 - place) * factor for factor in (np.sqrt(classes / (classes - 1)), np.sqrt(2)))
    beside = Curve(
        x=place.tolist(),
        y=high.tolist(),
        low=low.tolist(),
        high=high.tolist(),
        label="cross-entropy",
        style=Style(MUTED, "", SOLID),
        mark_every=1000,
    )
    figure = _curve_a_seed(
        runs,
        "why/logit_gradients/profile",
        x="p_true",
        y="mean",
        style=style,
        beside=[beside],
        title="Mean gradient in the logits, training part",
        x_label="probability of the true class",
        y_label="mean norm",
        y_log=True,
    )
    if figure:
        figure.axes[0].set(xlim=(-0.02, 1.02), ylim=(1e-5, 10))
    return figure


@small
def _curve_a_seed(
    runs: Sequence[Recorded],
    tag: str,
    *,
    x: str,
    y: str,
    style: Style,
    beside: Sequence[Curve] = (),
    **labels: Any,
) -> Figure | None:
    columns = [run.curves[tag] for run in runs if run.curves.get(tag, {}).get(y)]
    if not columns:
        return None
    line = style._replace(line=SOLID, marker="")
    curves = [Curve(x=c[x], y=c[y], weights=c.get("count"), style=line) for c in columns]
    return _panel([*beside, *curves], **labels)


@small
def loss_plane(run: Recorded) -> Figure | None:
    """Draw the mean loss on the plane through the final weights, dark where it is low."""
    cross = Curve(x=[0.0], y=[0.0], line=False, style=Style("white", "P", SOLID))
    return _plane(
        run,
        "surface",
        [cross],
        title=f"Loss around final weights, seed {run.seed}",
        x_label="a random direction, 1: as long as the weights",
        y_label="another",
    )


@small
def loss_path(run: Recorded) -> Figure | None:
    """Draw the path of training over the mean loss on the plane of its principal directions."""
    path, variance = (run.curves.get(f"why/landscape/{c}", {}) for c in ("path", "path_variance"))
    if not path.get("x") or not variance.get("share"):
        return None
    x, y = path["x"], path["y"]
    curves = [
        Curve(x=x, y=y, style=Style("white", "o", SOLID), mark_every=1),
        Curve(x=x[:1], y=y[:1], line=False, style=Style(VERMILLION, "s", SOLID)),
        Curve(x=x[-1:], y=y[-1:], line=False, style=Style(VERMILLION, "P", SOLID)),
    ]
    x_label, y_label = (f"{share:.0%} of the path's variance" for share in variance["share"][:2])
    return _plane(
        run,
        "path_surface",
        curves,
        x_label=x_label,
        y_label=y_label,
        title=f"Training from ■ to ✚, seed {run.seed}; dots: epochs",
    )


def _plane(run: Recorded, name: str, curves: list[Curve], **labels: str) -> Figure | None:
    columns = run.curves.get(f"why/landscape/{name}", {})
    positive = np.array(columns.get("loss", [])) > 0
    if np.count_nonzero(positive) < 4:
        return None
    x, y, z = ([*np.array(columns[key])[positive].tolist()] for key in ("x", "y", "loss"))
    field = Field(x=x, y=y, z=z, label="mean loss", shares=False)
    return _panel(curves, field=field, height=3.1, **labels)


def _panel(curves: list[Curve], *, height: float = 2.7, **more: Any) -> Figure:
    panels = [Panel(curves=curves, **more)]
    return draw_panels(Drawing(panels=panels, size=(SMALL_WIDTH, height), title_width=60))


@small
def weight_density(
    runs: Sequence[Recorded], *, style: Style, prior: Mapping[str, Any]
) -> Figure | None:
    """Draw the density of all weights, and that of the prior."""
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
    axis.set(xlabel="weight", ylabel="density", ylim=(0, None))
    return figure


def prior_density(prior: Mapping[str, Any], x: Array) -> tuple[str, Array]:
    """Return the name of a Gaussian or Laplace prior and its density at ``x``, if it is one."""
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
    """Draw the weights of the first layer, one tile per unit; grey is 0."""
    filters = first_layer_filters(run.weights)
    if filters is None:
        return None
    shown = filters[:MOST_FILTERS]
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
    # Sorted by name, blocks.10 would come before blocks.2.
    names = sorted(
        weights,
        key=lambda name: [
            int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)
        ],
    )
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
def worst_mistakes(run: Recorded) -> Figure | None:
    """Draw the images that were most confidently given a wrong class, if they were kept."""
    if run.mistakes is None or run.mistaken is None or not len(run.mistakes):
        return None
    wide = run.logits.astype(np.float64)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    confidence, predicted = shares.max(axis=1) / shares.sum(axis=1), wide.argmax(axis=1)
    axis, figure, places = _tiles(run.mistaken / 255, columns=5, below=0.42)
    for place, (x, y) in zip(run.mistakes, places, strict=True):
        true, given = (run.class_names[i][:8] for i in (run.labels[place], predicted[place]))
        said = f"{true} as {given}\n{confidence[place]:.1%}"
        axis.text(x, y, said, ha="center", va="top", fontsize=6)
    mistakes = (predicted != run.labels).sum()
    axis.set_title(
        f"Worst mistakes of {mistakes}, validation part\ntrue as predicted class, confidence"
    )
    return figure


def _tiles(
    images: Array, *, columns: int, below: float = 0.0
) -> tuple[Axes, Figure, list[tuple[float, float]]]:
    """Arrange images ``(M, C, H, W)`` in rows; also return the bottom centre of each."""
    if images.shape[1] != 3:
        images = images.mean(axis=1, keepdims=True)
    count, channels, height, width = images.shape
    rows = max(1, -(-count // columns))
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
