"""Custom images, one folder per class."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from losslab.data.cache import cached, stamp
from losslab.data.rgb import decode, endings
from losslab.data.source import Source
from losslab.data.splits import set_apart
from losslab.files import expanded

# Files and folders that programs create next to images, in lower case.
_NOT_DATA = {
    *("__macosx", "__pycache__", "@eadir", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "thumbs.db", "desktop.ini"),
}
_UNREADABLE = {
    *(".heic", ".heif", ".jxl", ".jxr", ".svg", ".psd", ".xcf", ".exr", ".hdr"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
}
_LITTER = "hidden files and folders, and what programs leave"
# A file changed again within this time may keep its time stamp.
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

    The layout is that of torchvision's ``ImageFolder``: classes are folder names in alphabetical
    order, and images may lie in subfolders. Without a folder ``test``, or one that looks like it
    (``val``), a stratified tenth of the images is split off, always the same.

    Formats are those of :data:`losslab.data.rgb.FORMATS`. Hidden files, files that programs create
    and redundant links are skipped and counted in the source's notes. Images are rotated by their
    EXIF orientation; 16-bit grey is scaled from 0..65535 (12-bit TIFF from 0..4095) to 0..255;
    transparent images are composed over ``background``; of several frames the first is used.

    Args:
        root: The folder that holds the parts; ``~`` is the home folder.
        train_folder: Name of the training part's folder.
        test_folder: Name of the test part's folder; ``None`` sets a tenth of training apart.
        image_size: Resize every image to this height and width (bilinear, without keeping
            proportions). ``None`` if all images have the same size.
        background: Grey level behind transparent pixels, 0 to 255. On the default, both black and
            white shapes are visible.
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
    base = expanded(root).absolute()
    skipped: Counter[str] = Counter()
    try:
        train = _classes(base / train_folder, skipped)
        if len(train) < 2:
            found = f"{base / train_folder} holds {len(train)} class folders"
            raise ValueError(f"{found}; give one folder of images for each of 2 or more classes")
        test, notes = _test_classes(base, train_folder, test_folder, train, skipped)
    except OSError as error:
        why = f"cannot read the folder {error.filename} ({error.strerror})"
        raise ValueError(f"{why}; repair or delete it") from error
    files = [file for part in (train, test) for names in part.values() for file in names]
    before = stamp(files)
    newest = max(file.stat().st_ctime for file in files)

    def read() -> Source:
        source = _read(train, test, image_size=image_size, background=background)
        if stamp(files) != before:
            raise ValueError(f"files in {base} changed while they were read; run again")
        return source

    source = cached(
        read,
        cache_dir=None if abs(time.time() - newest) < _CLOCK_TICK_S else cache_dir,
        name="image_folder",
        fingerprint=f"{image_size}\n{background}\n{list(train)}\n{before}",
    )
    told = [f"skipped {count}: {reason}" for reason, count in sorted(skipped.items())]
    return replace(source, notes=(*source.notes, *notes, *told))


def _test_classes(
    base: Path, train_folder: str, test_folder: str | None, train: Classes, skipped: Counter[str]
) -> tuple[Classes, list[str]]:
    """Return the test part, empty if a tenth is to be split off, and notes about it."""
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
        if folder.samefile(base / train_folder):
            raise ValueError(
                f"{folder} is a link to the training part; give data.test_folder=null to set a "
                "tenth of the training images apart"
            )
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
    """Find the images of a part, each file once; count skipped files by reason."""
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
                given = os.fsencode(place.path)
                raise ValueError(
                    f"the name of the folder {given!r} is not UTF-8; rename it"
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
    """Yield the images in a folder and its subfolders; ``folders`` are those read already."""
    here = os.path.realpath(folder)
    folders.add(here)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.is_symlink()):
        known = entry.name.lower().endswith(endings())
        if _is_litter(entry.name):
            skipped[_LITTER] += 1
        elif entry.is_dir():
            if entry.is_symlink() and _is_read_anyway(entry.path, folders):
                skipped["links to folders that are read anyway"] += 1
            else:
                yield from _images(entry.path, folders, skipped)
        elif Path(entry.name).suffix.lower() in _UNREADABLE:
            skipped["images in formats that cannot be read, such as HEIC; convert them to PNG"] += 1
        elif not known:
            skipped["files that are not images"] += 1
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
    """Return whether a link leads to a folder of the part, or to one that contains such."""
    real = Path(os.path.realpath(link))
    return any(
        real.is_relative_to(folder) or Path(folder).is_relative_to(real) for folder in folders
    )


def _read(train: Classes, test: Classes, *, image_size: int | None, background: int) -> Source:
    class_names = tuple(train)
    files, labels = [], []
    for name, images in (*train.items(), *test.items()):
        files += images
        labels += [class_names.index(name)] * len(images)
    pixels, notes = decode(files, image_size=image_size, background=background)
    target = torch.tensor(labels)
    if test:
        num_train = sum(len(images) for images in train.values())
        first, second = torch.arange(num_train), torch.arange(num_train, len(files))
    else:
        first, second = set_apart(target, max(1, round(len(files) / 10)), "image_folder")
    digests = [hashlib.sha256(image.numpy().data).digest() for image in pixels]
    trained = {digests[index] for index in first.tolist()}
    if both := sum(digests[index] in trained for index in second.tolist()):
        notes = (*notes, f"{both} images of the test part are in the training part, too")
    classes: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, labels, strict=True):
        classes.setdefault(digest, set()).add(label)
    several = [index for index, digest in enumerate(digests) if len(classes[digest]) > 1]
    if several:
        where = f"such as {files[several[0]]}"
        notes = (*notes, f"{len(several)} images are in more than one class, {where}")
    parts = (pixels[first], target[first], pixels[second], target[second])
    return Source("image_folder", *parts, len(class_names), class_names, notes=notes)
