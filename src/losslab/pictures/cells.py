"""Pictures made of cells: confusion matrix, loss surface, mistakes, filters."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from losslab.pictures.canvas import INK, PHOTO_COLORS, Canvas, Picture
from losslab.styles import BLACK

FloatArray = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

MOST_NAMED = 20
"""Classes that a confusion matrix has names and numbers for."""

MOST_FILTERS = 64

_MATRIX = 300
_TILE, _GAP = 72, 6


def confusion_matrix(counts: FloatArray, names: Sequence[str]) -> Picture:
    """How often each class was taken for each.

    Args:
        counts: ``(K, K)``, rows the true class, columns the predicted one.
        names: K names of the classes.
    """
    classes = len(names)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    named = classes <= MOST_NAMED
    left, top = (62, 74) if named else (24, 60)
    cell = _MATRIX / classes
    right = f"{np.trace(counts) / max(counts.sum(), 1):.1%} right"
    title = f"Confusion matrix, validation part: {right}\nrows: true class, columns: predicted"
    canvas = Canvas(left + _MATRIX + 12, top + _MATRIX + 10, title=title)
    # White for never, the root because mistakes are few.
    shade = np.sqrt(rows)[..., None]
    colors = (1 - shade) * 255 + shade * np.array([0x00, 0x45, 0x7A])
    canvas.paste(Image.fromarray(colors.astype(np.uint8)), left, top, width=_MATRIX, height=_MATRIX)
    if not named:
        return canvas.picture()
    size = 11 if classes <= 12 else 8
    for true in range(classes):
        y = top + (true + 0.5) * cell
        canvas.text(left - 5, y, names[true][:9], size=size, anchor="rm")
        canvas.text(left + (true + 0.5) * cell, top - 4, names[true][:4], size=size, anchor="md")
        for predicted in np.flatnonzero(counts[true]):
            color = "white" if rows[true, predicted] > 0.2 else INK
            text = f"{counts[true, predicted]:.0f}"
            canvas.text(left + (predicted + 0.5) * cell, y, text, size=size, color=color)
    return canvas.picture()


def loss_surface(columns: Mapping[str, Sequence[float]]) -> Picture:
    """Mean loss on the plane through the final weights, darker for lower, on a logarithmic scale.

    Args:
        columns: ``x``, ``y`` and ``loss``: the curve of ``why/landscape/surface``, in which points
            without a finite loss are missing.
    """
    axes = [np.unique(columns[name]) for name in ("x", "y")]
    table = np.full((len(axes[1]), len(axes[0])), np.nan)
    x, y = (np.searchsorted(axis, columns[name]) for axis, name in zip(axes, "xy", strict=True))
    table[len(axes[1]) - 1 - y, x] = columns["loss"]
    low, high = np.nanmin(table), np.nanmax(table)
    positive = low > 0
    scaled = np.log(table / low) / np.log(high / low) if positive and high > low else (
        (table - low) / ((high - low) or 1.0)
    )  # fmt: skip
    stops = np.array([[0x08, 0x30, 0x6B], [0x42, 0x92, 0xC6], [0xDE, 0xEB, 0xF7]])
    places = np.nan_to_num(scaled, nan=1.0)
    colors = np.stack([np.interp(places, [0, 0.5, 1], stop) for stop in stops.T], axis=-1)
    colors[np.isnan(table)] = 255
    title = f"Loss around the final weights (cross)\n{low:.3g} dark … {high:.3g} light"
    left, top = 40, 60
    canvas = Canvas(left + _MATRIX + 14, top + _MATRIX + 34, title=title)
    canvas.paste(Image.fromarray(colors.astype(np.uint8)), left, top, width=_MATRIX, height=_MATRIX)
    middle = (left + _MATRIX / 2, top + _MATRIX / 2)
    for dx, dy in ((6, 0), (0, 6)):
        ends = [(middle[0] - dx, middle[1] - dy), (middle[0] + dx, middle[1] + dy)]
        canvas.line(ends, color="#E69F00", width=2)
    for value, place in ((axes[0][0], 0.0), (0.0, 0.5), (axes[0][-1], 1.0)):
        canvas.text(left + place * _MATRIX, top + _MATRIX + 5, f"{value:g}", anchor="ma")
        canvas.text(left - 5, top + (1 - place) * _MATRIX, f"{value:g}", anchor="rm")
    text = "two random directions, 1: as long as the weights"
    canvas.text(left + _MATRIX / 2, top + _MATRIX + 20, text, anchor="ma")
    return canvas.picture()


def worst_mistakes(
    images: Pixels, captions: Sequence[str], *, wrong: int, columns: int = 5
) -> Picture:
    """Pictures that were given to a wrong class with most confidence.

    Args:
        images: ``(M, C, H, W)`` uint8, C one or three.
        captions: M texts below them.
        wrong: How many were wrong in all.
        columns: Pictures side by side.
    """
    title = (
        f"Worst mistakes of {wrong}, validation part\ntrue class, what it was taken for, how surely"
    )
    rows = max(1, -(-len(captions) // columns))
    step_x, step_y = _TILE + 10, _TILE + 36
    canvas = Canvas(columns * step_x + 10, 46 + rows * step_y, title=title)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = 10 + column * step_x, 46 + row * step_y
        _, height, width = image.shape
        scale = min(_TILE / width, _TILE / height)
        size = {"width": round(width * scale), "height": round(height * scale)}
        canvas.paste(_as_image(image), left, top, **size)
        middle = left + _TILE / 2
        canvas.text(middle, top + size["height"] + 2, caption, size=10, color=BLACK, anchor="ma")
    return canvas.picture(colors=PHOTO_COLORS)


def first_layer(filters: FloatArray) -> Picture:
    """The weights that look at the picture itself, one tile a unit.

    Grey levels or colours around the middle, which is 0; the largest weight of all is full.

    Args:
        filters: ``(U, C, H, W)``; of other than three channels the mean is shown.
    """
    shown = filters[:MOST_FILTERS]
    if shown.shape[1] != 3:
        shown = shown.mean(axis=1, keepdims=True)
    largest = np.abs(shown).max() or 1.0
    pixels = (127.5 + 127.5 * shown / largest).round().astype(np.uint8)
    columns = min(8, len(pixels))
    rows = -(-len(pixels) // columns)
    tile = 40
    step = tile + _GAP
    of = f"{len(pixels)} of {len(filters)}" if len(filters) > len(pixels) else f"{len(pixels)}"
    title = f"First layer: {of} filters\nblack -{largest:.2g}, grey 0, white +{largest:.2g}"
    canvas = Canvas(max(260, columns * step + 12), 46 + rows * step, title=title)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        _, height, width = image.shape
        scale = tile / max(height, width)
        canvas.paste(
            _as_image(image), 10 + column * step, 46 + row * step,
            width=max(1, round(width * scale)), height=max(1, round(height * scale)),
        )  # fmt: skip
    return canvas.picture(colors=PHOTO_COLORS)


def _as_image(pixels: Pixels) -> Image.Image:
    if len(pixels) == 3:
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    gray = pixels[0] if len(pixels) == 1 else pixels.mean(axis=0).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")
