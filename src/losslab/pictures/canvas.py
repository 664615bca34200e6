"""A small chart in a few milliseconds: axes, lines, bars and cells, on Pillow.

matplotlib, which draws the reports' figures, takes 40 ms a figure and most of a second to import;
a run of a second that records half a dozen pictures would double its time.
"""

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from losslab.styles import BLACK

INK, FAINT, PALE = "#333333", "#DDDDDD", "#BBBBBB"
_SMOOTH = 2  # drawn so much larger, then reduced: Pillow does not smooth lines
_COLORS = 64  # of a chart's file: a third of the size, which TensorBoard's checksum feels
PHOTO_COLORS = 256
_TICKS = 5


class Picture(NamedTuple):
    """A picture as TensorBoard takes it.

    Attributes:
        png: The file.
        width: In pixels.
        height: In pixels.
    """

    png: bytes
    width: int
    height: int


class Range(NamedTuple):
    """Of an axis, from left to right or from bottom to top."""

    low: float
    high: float


def encode(image: Image.Image, *, colors: int = _COLORS) -> Picture:
    """Return a picture as PNG, with at most so many colours."""
    buffer = io.BytesIO()
    few = image.quantize(colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", compress_level=3)
    return Picture(buffer.getvalue(), *image.size)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font."""
    return ImageFont.load_default(size)


class Canvas:
    """A blank picture with a title.

    Lengths are in pixels of the finished picture.

    Args:
        width: Of the picture.
        height: Of the picture.
        title: Above; a second line after a newline.
    """

    def __init__(self, width: int, height: int, *, title: str) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), "white")
        self._draw = ImageDraw.Draw(self._image)
        self.text(8, 6, title, size=13, color=BLACK, anchor="la")

    def text(
        self, x: float, y: float, text: str, *, size: int = 11, color: str = INK, anchor: str = "mm"
    ) -> None:
        """Write a text; ``anchor`` as Pillow has it: ``la`` left top, ``mm`` middle, ..."""
        at = (x * _SMOOTH, y * _SMOOTH)
        if "\n" in text:
            self._draw.multiline_text(at, text, color, font(size * _SMOOTH), anchor)
        else:
            self._draw.text(at, text, color, font(size * _SMOOTH), anchor)

    def line(self, points: Sequence[tuple[float, float]], *, color: str, width: float = 1) -> None:
        """Join points."""
        scaled = [(x * _SMOOTH, y * _SMOOTH) for x, y in points]
        self._draw.line(scaled, color, round(width * _SMOOTH), joint="curve")

    def dot(self, x: float, y: float, *, radius: float, color: str) -> None:
        """Draw a disc with a white rim."""
        box = [(v + sign * radius) * _SMOOTH for sign in (-1, 1) for v in (x, y)]
        self._draw.ellipse(box, color, "white", _SMOOTH)

    def box(self, left: float, top: float, right: float, bottom: float, *, color: str) -> None:
        """Fill a rectangle."""
        edges = [v * _SMOOTH for v in (left, top, right, bottom)]
        self._draw.rectangle((edges[0], edges[1], edges[2] - 1, edges[3] - 1), color)

    def paste(self, image: Image.Image, left: int, top: int, *, width: int, height: int) -> None:
        """Put a picture there, its pixels as squares."""
        size = (width * _SMOOTH, height * _SMOOTH)
        resized = image.resize(size, Image.Resampling.NEAREST)
        self._image.paste(resized, (left * _SMOOTH, top * _SMOOTH))

    def picture(self, *, colors: int = _COLORS) -> Picture:
        """Return what was drawn, with at most so many colours."""
        return encode(self._image.reduce(_SMOOTH), colors=colors)


class Chart(Canvas):
    """A canvas with two linear axes.

    Args:
        title: Above.
        x: Range of the horizontal axis.
        y: Range of the vertical axis.
        x_label: Its name and unit.
        y_label: Likewise.
    """

    def __init__(self, title: str, *, x: Range, y: Range, x_label: str, y_label: str) -> None:
        super().__init__(400, 320, title=title)
        self._x, self._y = x, y
        self._left, self._right, self._top, self._bottom = 52, self.width - 14, 56, self.height - 40
        for value in ticks(x):
            at = self.at(value, y.low)[0]
            self.line([(at, self._top), (at, self._bottom)], color=FAINT)
            self.text(at, self._bottom + 5, f"{value:g}", anchor="ma")
        for value in ticks(y):
            at = self.at(x.low, value)[1]
            self.line([(self._left, at), (self._right, at)], color=FAINT)
            self.text(self._left - 6, at, f"{value:g}", anchor="rm")
        self.text((self._left + self._right) / 2, self.height - 6, x_label, anchor="md")
        self.text(8, self._top - 8, y_label, anchor="ld")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is, in pixels."""
        across = (x - self._x.low) / (self._x.high - self._x.low)
        up = (y - self._y.low) / (self._y.high - self._y.low)
        return (
            self._left + across * (self._right - self._left),
            self._bottom - up * (self._bottom - self._top),
        )

    def curve(
        self, xs: Sequence[float], ys: Sequence[float], *, color: str, width: float = 2
    ) -> None:
        """Join points of the two axes."""
        self.line(list(map(self.at, xs, ys)), color=color, width=width)

    def bars(self, edges: Sequence[float], heights: Sequence[float], *, color: str = FAINT) -> None:
        """Draw bars between successive edges, from the bottom up."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x0, y0), (x1, y1) = self.at(left, height), self.at(right, self._y.low)
            if y1 - y0 >= 0.5:
                self.box(x0 + 0.5, y0, x1 - 0.5, y1, color=color)


def ticks(axis: Range, *, most: int = _TICKS) -> list[float]:
    """Return round numbers in a range.

    >>> ticks(Range(0, 1)), ticks(Range(-0.25, 1.25)), ticks(Range(0, 0.034))
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.5, 1.0], [0.0, 0.01, 0.02, 0.03])
    """
    rough = (axis.high - axis.low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def from_zero(values: Sequence[float]) -> Range:
    """Return a range from 0 to a little above the largest of some numbers from 0 up."""
    largest = max(values, default=0.0)
    return Range(0.0, 1.05 * largest if largest > 0 else 1.0)
