"""Anybody's own images, one folder a class."""

import os
import struct
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from losslab.data.cache import cached, stamp
from losslab.data.source import Source
from losslab.data.splits import stratified_order
from losslab.seeding import generator

FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM"),
    *("PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
"""Of Pillow's formats those that hold pixels: it runs a program for some, such as EPS."""
# The test part must never change, or results of different days could not be compared.
TEST_SEED = 5000
# What programs leave beside images, besides hidden files; in lower case.
_NOT_DATA = {
    *("__macosx", "__pycache__", "@eadir", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "thumbs.db", "desktop.ini"),
}
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_LITTER = "hidden files and folders, and what programs leave"
# A file written to once more within this time of a read may look the same as before.
_CLOCK_TICK_S = 2.0

Classes = dict[str, list[Path]]
"""Name of a class to its files, in order."""


def image_folder(
    *,
    root: str | Path,
    train_folder: str = "train",
    test_folder: str | None = "test",
    image_size: int | None = None,
    background: int = 128,
    cache_dir: str | Path | None = None,
) -> Source:
    """Read ``root/train/CLASS/*`` and ``root/test/CLASS/*`` as RGB images ``(N, 3, H, W)``.

    It is the layout of torchvision's ``ImageFolder``: the classes are the folders' names in
    alphabetical order, images may lie deeper inside. Where there is no folder ``test``, and none
    that looks like it (``val``), a stratified tenth of the images is set apart by a constant seed.

    Every format of :data:`FORMATS` is read. Hidden files, what programs leave beside images, and
    links to what is read anyway are skipped; the source's notes count what was skipped. Images are
    turned upright as EXIF says; 16-bit grey is scaled from 0..65535 (12-bit TIFF from 0..4095) to
    0..255; transparent ones are laid over ``background``; of several frames the first is used.

    Args:
        root: The folder that holds the parts; ``~`` is the home folder.
        train_folder: Name of the training part's folder.
        test_folder: Name of the test part's folder; ``None`` sets a tenth of training apart.
        image_size: Resize every image to this height and width (bilinear; other proportions
            are stretched). ``None`` for images that have one size already.
        background: Grey level behind transparent pixels, 0 to 255. On the default, black shapes
            and white shapes both show.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: A missing folder, fewer than two classes, a class without images, a test
            class that training does not have, an image that cannot be read or whose range is
            unknown, images of different sizes, or files that change meanwhile.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size={image_size}; give a number of pixels from 1 up, or null")
    if not 0 <= background <= 255:
        raise ValueError(f"background={background}; give a grey level from 0 to 255")
    base = Path(root).expanduser().absolute()
    skipped: Counter[str] = Counter()
    try:
        train = _classes(base / train_folder, skipped)
        if len(train) < 2:
            raise ValueError(
                f"{base / train_folder} holds {len(train)} class folders; "
                "give one folder of images for each of 2 or more classes"
            )
        test, notes = _test_classes(base, train_folder, test_folder, train, skipped)
    except OSError as error:
        raise ValueError(f"cannot read the folder {error.filename} ({error.strerror})") from error
    files = [file for part in (train, test) for names in part.values() for file in names]
    before = stamp(files)
    newest = max(file.stat().st_ctime for file in files)
    source = cached(
        partial(_read, train, test, image_size=image_size, background=background),
        cache_dir=None if abs(time.time() - newest) < _CLOCK_TICK_S else cache_dir,
        name="image_folder",
        fingerprint=f"{image_size}\n{background}\n{list(train)}\n{before}",
    )
    if stamp(files) != before:
        raise ValueError(f"files in {base} changed while they were read; run again")
    told = [f"skipped {count}: {reason}" for reason, count in sorted(skipped.items())]
    return replace(source, notes=(*source.notes, *notes, *told))


def _test_classes(
    base: Path, train_folder: str, test_folder: str | None, train: Classes, skipped: Counter[str]
) -> tuple[Classes, list[str]]:
    """Return the test part, empty where a tenth is to be set apart, and what to say about it."""
    if test_folder == train_folder:
        raise ValueError(f"data.test_folder={test_folder} is the training part; give another")
    others = [
        place.name
        for place in sorted(base.iterdir())
        if place.name not in (train_folder, test_folder)
        and not _is_litter(place.name)
        and any((place / name).is_dir() for name in train)
    ]
    unused = [f"not used: the folder {name}" for name in others]
    if test_folder is None:
        return {}, ["the test part is a tenth of the training folder", *unused]
    folder = base / test_folder
    if folder.is_dir():
        test = _classes(folder, skipped)
        unknown = sorted(test.keys() - train.keys())
        if unknown:
            raise ValueError(
                f"{folder} holds the class {unknown[0]!r}, which {base / train_folder} "
                "does not; the classes must have the same names in both"
            )
        return test, unused
    if others or test_folder != "test":
        instead = others[0] if others else "NAME"
        raise ValueError(
            f"no folder {folder}; give data.test_folder={instead} for the test images, or "
            "data.test_folder=null to set a tenth of the training images apart"
        )
    return {}, ["the test part is a tenth of the training folder"]


def _classes(folder: Path, skipped: Counter[str]) -> Classes:
    """Find the images of a part, each real file once; count what is skipped, by reason."""
    if not folder.is_dir():
        raise ValueError(
            f"no folder {folder}; give data.root=FOLDER with FOLDER/train/CLASS/image.png, "
            "or name the parts by data.train_folder and data.test_folder"
        )
    found = {}
    folders = {os.path.realpath(folder)}
    for place in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _is_litter(place.name):
            skipped[_LITTER] += 1
        elif not place.is_dir():
            skipped["files outside of class folders"] += 1
        elif place.is_symlink() and _is_read_anyway(place.path, folders):
            skipped["links to folders that are read anyway"] += 1
        else:
            try:
                place.path.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"the name of the folder {os.fsencode(place.path)!r} is not UTF-8; rename it"
                ) from None
            found[place.name] = list(_images(place.path, folders, skipped))
    seen = {file.real for files in found.values() for file in files if not file.is_link}
    classes: Classes = {}
    for name, files in found.items():
        kept = []
        # torchvision's order: a folder's own images, then those of the folders inside.
        for file in sorted(files):
            if file.is_link and file.real in seen:
                skipped["links to files that are read anyway"] += 1
            else:
                seen.add(file.real)
                kept.append(Path(file.folder, file.name))
        if not kept:
            raise ValueError(
                f"no images in {folder / name}; give files ending in .png, .jpg or another of "
                "Pillow's formats, or delete the folder"
            )
        classes[name] = kept
    return classes


class _File(NamedTuple):
    folder: str
    name: str
    real: str
    is_link: bool


def _images(folder: str, folders: set[str], skipped: Counter[str]) -> Iterator[_File]:
    """Yield the images in a folder and those inside it; ``folders`` are those read already."""
    here = os.path.realpath(folder)
    folders.add(here)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.is_symlink()):
        known = Path(entry.name).suffix.lower() in _endings()
        if _is_litter(entry.name):
            skipped[_LITTER] += 1
        elif entry.is_dir():
            if entry.is_symlink() and _is_read_anyway(entry.path, folders):
                skipped["links to folders that are read anyway"] += 1
            else:
                yield from _images(entry.path, folders, skipped)
        elif not known:
            skipped["files that are no images"] += 1
        elif entry.is_file():
            link = entry.is_symlink()
            real = os.path.realpath(entry.path) if link else f"{here}/{entry.name}"
            yield _File(folder, entry.name, real, link)
        elif entry.is_symlink():
            raise ValueError(
                f"{entry.path} is a link to {Path(entry.path).readlink()}, which is missing; put "
                "the image there, or delete the link"
            )
        else:
            skipped["sockets, pipes and devices"] += 1


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOT_DATA


def _is_read_anyway(link: str, folders: set[str]) -> bool:
    """Return whether a link leads to a folder of the part, or to one that holds such a folder."""
    real = Path(os.path.realpath(link))
    return any(
        real.is_relative_to(folder) or Path(folder).is_relative_to(real) for folder in folders
    )


@cache
def _endings() -> frozenset[str]:
    # This loads all of Pillow's plugins, too.
    known = Image.registered_extensions().items()
    return frozenset(ending for ending, name in known if name in FORMATS)


def _read(train: Classes, test: Classes, *, image_size: int | None, background: int) -> Source:
    class_names = tuple(train)
    index = {name: label for label, name in enumerate(class_names)}
    files, labels = [], []
    for part in (train, test):
        for name, images in part.items():
            files += images
            labels += [index[name]] * len(images)
    notes: Counter[str] = Counter()
    with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
        # It is of a small file whose image would fill the memory.
        pixels = _decode(files, image_size, background, notes)
    target = torch.tensor(labels)
    if test:
        num_train = sum(len(images) for images in train.values())
        first, second = torch.arange(num_train), torch.arange(num_train, len(files))
    else:
        order = stratified_order(target, generator(TEST_SEED, "image_folder", "test"))
        num_test = max(1, round(len(files) / 10))
        first, second = order[num_test:].sort().values, order[:num_test].sort().values
    return Source(
        "image_folder",
        pixels[first],
        target[first],
        pixels[second],
        target[second],
        len(class_names),
        class_names,
        notes=tuple(f"{count} images {what}" for what, count in sorted(notes.items())),
    )


def _decode(
    files: list[Path], image_size: int | None, background: int, notes: Counter[str]
) -> Tensor:
    pixels: np.ndarray | None = None
    for position, file in enumerate(files):
        image = _open(file, background, notes)
        size = image.size if image_size is None else (image_size, image_size)
        if pixels is None:
            pixels = _room(len(files), size)
        if (size[1], size[0]) != pixels.shape[1:3]:
            raise ValueError(
                f"images of different sizes: {files[0]} is {pixels.shape[2]}x{pixels.shape[1]}, "
                f"{file} is {size[0]}x{size[1]}; give data.image_size=PIXELS to resize all"
            )
        if image_size is not None:
            image = image.resize(size, Image.Resampling.BILINEAR)
        pixels[position] = np.asarray(image)
    assert pixels is not None, "there are two classes or more, and none is empty"
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _room(count: int, size: tuple[int, int]) -> np.ndarray:
    wanted = 2 * count * size[0] * size[1] * 3  # once as they come, once in torch's order
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > memory:
        raise ValueError(
            f"{count} images of {size[0]}x{size[1]} need {wanted / 2**30:.0f} GB of memory, this "
            f"machine has {memory / 2**30:.0f}; give a smaller data.image_size=PIXELS"
        )
    return np.empty((count, size[1], size[0], 3), dtype=np.uint8)


def _open(file: Path, background: int, notes: Counter[str]) -> Image.Image:
    try:
        with Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                notes["have several frames; the first is used"] += 1
            return _as_rgb(_upright(opened, notes), opened, background, notes)
    # Pillow's decoders answer broken files with these, among them SyntaxError for PNG.
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot read the image {file} ({reason}); delete or replace it"
        ) from error


_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, LookupError, TypeError),
    *(OverflowError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning),
)


def _upright(opened: Image.Image, notes: Counter[str]) -> Image.Image:
    turned = opened.getexif().get(ExifTags.Base.Orientation, 1) != 1
    if turned:
        notes["were turned upright, as their EXIF data say"] += 1
    opened.load()
    return ImageOps.exif_transpose(opened)


def _as_rgb(
    image: Image.Image, opened: Image.Image, background: int, notes: Counter[str]
) -> Image.Image:
    """Return an image of any mode as RGB.

    Raises:
        ValueError: It has a mode whose range is unknown.
    """
    key = image.info.get("transparency")
    deep_key = isinstance(key, tuple) and max(key) > 255  # of 16-bit RGB, of which 8 bits are left
    wide = image.mode in _SIXTEEN_BITS or (image.mode == "I" and opened.format in ("PNG", "PPM"))
    if wide and key is None:
        tags = getattr(opened, "tag_v2", {})
        most = 2 ** (tags.get(_BITS_PER_SAMPLE) or (16,))[0] - 1
        grey = np.asarray(image).astype(np.float64) * 255 / most
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            grey = 255 - grey
        notes["have 16 bits a pixel and were scaled to 8"] += 1
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data and not (wide or deep_key):
        if image.mode == "La":
            image = image.convert("LA")
        image = image.convert("RGBA")
        notes[f"are transparent and lie on grey {background}"] += 1
        behind = Image.new("RGBA", image.size, (background, background, background, 255))
        return Image.alpha_composite(behind, image).convert("RGB")
    if image.mode in _PLAIN and not deep_key:
        return image.convert("RGB")
    kind = f"{image.mode} with a transparent colour" if key is not None else image.mode
    raise ValueError(
        f"mode {kind}, of which the range of brightness is unknown; save it as 8-bit grey or RGB"
    )
