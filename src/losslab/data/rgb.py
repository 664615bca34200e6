"""Decode image files of many formats to RGB pixels from 0 to 255."""

import os
import struct
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM"),
    *("PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
"""Pillow's raster formats. For others, such as EPS, it would run a program."""
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# Of TIFF.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_SAMPLE_FORMAT, _SIGNED = 339, 2
# Raised by Pillow's decoders for broken files; SyntaxError for PNG.
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, LookupError, TypeError),
    *(OverflowError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning),
)
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")


@cache
def endings() -> tuple[str, ...]:
    """Return the extensions of image files, in lower case."""
    # This also loads all of Pillow's plugins.
    extensions = Image.registered_extensions().items()
    return tuple(extension for extension, name in extensions if name in FORMATS)


def decode(
    files: Sequence[Path], *, image_size: int | None, background: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Read images as RGB: ``(N, 3, H, W)`` uint8, and notes on how they were read."""
    notes: Counter[str] = Counter()
    pixels: np.ndarray | None = None
    for index, file in enumerate(files):
        image = _open(file, background, notes)
        size = image.size if image_size is None else (image_size, image_size)
        if pixels is None:
            pixels = _allocate(len(files), size)
        if (size[1], size[0]) != pixels.shape[1:3]:
            raise ValueError(
                f"images of different sizes: {files[0]} is {pixels.shape[2]}x{pixels.shape[1]}, "
                f"{file} is {size[0]}x{size[1]}; give data.image_size=PIXELS to resize all"
            )
        if image_size is not None:
            image = image.resize(size, Image.Resampling.BILINEAR)
        pixels[index] = np.asarray(image)
    assert pixels is not None, "there is at least one file"
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return images, tuple(f"{count} images {note}" for note, count in sorted(notes.items()))


def _allocate(count: int, size: tuple[int, int]) -> np.ndarray:
    needed = 2 * count * size[0] * size[1] * 3  # in Pillow's order and in torch's
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ValueError(
            f"{count} images of {size[0]}x{size[1]} need {needed / 2**30:.0f} GB of memory, this "
            f"machine has {memory / 2**30:.0f}; give a smaller data.image_size=PIXELS"
        )
    return np.empty((count, size[1], size[0], 3), dtype=np.uint8)


def _open(file: Path, background: int, notes: Counter[str]) -> Image.Image:
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        # The warning is for small files that would decode to huge images.
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(file, formats=formats) as opened,
        ):
            if getattr(opened, "n_frames", 1) > 1:
                notes["have several frames; the first is used"] += 1
            # Pillow misreads transparent colours of depths other than 8 bits.
            other_depth = ";" in str(opened.tile) and opened.mode != "P"
            if opened.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                notes["were rotated by their EXIF orientation"] += 1
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if "transparency" in image.info and other_depth:
                raise ValueError(f"mode {opened.mode} with a transparent colour, not 8-bit")
            return _as_rgb(image, opened, background, notes)
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot read the image {file} ({reason}); delete or replace it"
        ) from error


def _as_rgb(
    image: Image.Image, opened: Image.Image, background: int, notes: Counter[str]
) -> Image.Image:
    """Convert an image to RGB; ``ValueError`` if the range of its mode is unknown."""
    tags = getattr(opened, "tag_v2", {})
    # Pillow misreads signed bytes as unsigned.
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise ValueError(f"mode {image.mode}, signed; save it as 8-bit grey or RGB")
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and opened.format in ("PNG", "PPM")):
        white = 2 ** (tags.get(_BITS_PER_SAMPLE) or (16,))[0] - 1
        grey = np.asarray(image).astype(np.float64) * 255 / white
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            grey = 255 - grey
        notes["have 16 bits per pixel and were scaled to 8"] += 1
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        if image.mode == "La":
            image = image.convert("LA")
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes[f"are transparent and were placed on grey {background}"] += 1
        backdrop = Image.new("RGBA", image.size, (background, background, background, 255))
        return Image.alpha_composite(backdrop, image).convert("RGB")
    if image.mode in _PLAIN:
        return image.convert("RGB")
    raise ValueError(
        f"mode {image.mode}, whose range of brightness is unknown; save it as 8-bit grey or RGB"
    )
