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
from losslab.data.splits import hold_out
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
_TENTH = "the test part is a tenth of the training folder"
_JUNK = "hidden files and folders, and files left by programs"
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
    (``val``), a fixed, stratified tenth of the images is held out.

    Formats are those of :data:`losslab.data.rgb.FORMATS`. Hidden files, files that programs create
    and redundant links are skipped and counted in the source's notes. Images are rotated by their
    EXIF orientation; 16-bit grey is scaled from 0..65535 (12-bit TIFF from 0..4095) to 0..255;
    transparent images are composed over ``background``; of several frames the first is used.

    Args:
        root: The folder that holds the parts; ``~`` is the home folder.
        train_folder: Name of the training part's folder.
        test_folder: Name of the test part's folder; ``None`` holds out a tenth of training.
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
        raise ValueError(f"image_size={image_size}; give a number of pixels ≥ 1, or null")
    if not 0 <= background <= 255:
        raise ValueError(f"background={background}; give a grey level from 0 to 255")
    base = expanded(root).absolute()
    skipped: Counter[str] = Counter()
    try:
        train = _classes(base / train_folder, skipped)
        if len(train) < 2:
            raise ValueError(
                f"{base / train_folder} holds {len(train)} class folders; give one folder of "
                "images for each of 2 or more classes"
            )
        test, notes = _test_classes(base, train_folder, test_folder, train, skipped)
    except OSError as error:
        raise ValueError(
            f"cannot read the folder {error.filename} ({error.strerror}); repair or delete it"
        ) from error
    files = [file for part in (train, test) for names in part.values() for file in names]
    fingerprint = stamp(files)
    newest = max(file.stat().st_ctime for file in files)

    def read() -> Source:
        source = _read(train, test, image_size=image_size, background=background)
        if stamp(files) != fingerprint:
            raise ValueError(f"files in {base} changed while they were read; run again")
        return source

    source = cached(
        read,
        cache_dir=None if abs(time.time() - newest) < _CLOCK_TICK_S else cache_dir,
        name="image_folder",
        fingerprint=f"{image_size}\n{background}\n{list(train)}\n{fingerprint}",
    )
    notes += [f"skipped {count}: {reason}" for reason, count in sorted(skipped.items())]
    return replace(source, notes=(*source.notes, *notes))


def _test_classes(
    base: Path, train_folder: str, test_folder: str | None, train: Classes, skipped: Counter[str]
) -> tuple[Classes, list[str]]:
    """Return the test part, empty if a tenth of training becomes it, and notes about it."""
    if test_folder == train_folder:
        raise ValueError(f"data.test_folder={test_folder} is the training part; give another")
    other_folders = [
        path.name
        for path in sorted(base.iterdir())
        if path.name not in (train_folder, test_folder)
        and not _is_junk(path.name)
        and any((path / name).is_dir() for name in train)
    ]
    unused = [f"not used: the folder {name}" for name in other_folders]
    if test_folder is None:
        return {}, [_TENTH, *unused]
    folder = base / test_folder
    if folder.is_dir():
        if folder.samefile(base / train_folder):
            raise ValueError(
                f"{folder} is a link to the training part; give data.test_folder=null to hold "
                "out a tenth of the training images"
            )
        test = _classes(folder, skipped)
        if unknown := sorted(test.keys() - train.keys()):
            raise ValueError(
                f"{folder} holds the class {unknown[0]!r}, which {base / train_folder} "
                "does not; the classes must have the same names in both"
            )
        return test, unused
    if other_folders or test_folder != "test":
        name = other_folders[0] if other_folders else "NAME"
        raise ValueError(
            f"no folder {folder}; give data.test_folder={name} for the test images, or "
            "data.test_folder=null to hold out a tenth of the training images"
        )
    return {}, [_TENTH]


def _classes(folder: Path, skipped: Counter[str]) -> Classes:
    """Find the images of a part, each file once; count skipped files by reason."""
    if not folder.is_dir():
        raise ValueError(
            f"no folder {folder}; give data.root=FOLDER with FOLDER/train/CLASS/image.png, "
            "or name the parts' folders with data.train_folder and data.test_folder"
        )
    by_class = {}
    folders = {os.path.realpath(folder)}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _is_junk(entry.name):
            skipped[_JUNK] += 1
        elif not entry.is_dir():
            skipped["files outside class folders"] += 1
        elif entry.is_symlink() and _is_read_anyway(entry.path, folders):
            skipped["links to folders that are read anyway"] += 1
        else:
            try:
                entry.path.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"the name of the folder {os.fsencode(entry.path)!r} is not UTF-8; rename it"
                ) from None
            by_class[entry.name] = list(_images(entry.path, folders, skipped))
    seen = {file.real for files in by_class.values() for file in files if not file.is_link}
    classes: Classes = {}
    for name, files in by_class.items():
        paths = []
        # torchvision's order: a folder's own images, then those of the folders inside.
        for file in sorted(files):
            if file.is_link and file.real in seen:
                skipped["links to files that are read anyway"] += 1
            else:
                seen.add(file.real)
                paths.append(Path(file.folder, file.name))
        if not paths:
            raise ValueError(
                f"no images in {folder / name}; give files ending in .png, .jpg or another of "
                "Pillow's formats, or delete the folder"
            )
        classes[name] = paths
    return classes


class _File(NamedTuple):
    folder: str
    name: str
    real: str
    is_link: bool


def _images(folder: str, folders: set[str], skipped: Counter[str]) -> Iterator[_File]:
    """Yield the images in a folder and its subfolders; ``folders`` are those read already."""
    real_folder = os.path.realpath(folder)
    folders.add(real_folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.is_symlink()):
        if _is_junk(entry.name):
            skipped[_JUNK] += 1
        elif entry.is_dir():
            if entry.is_symlink() and _is_read_anyway(entry.path, folders):
                skipped["links to folders that are read anyway"] += 1
            else:
                yield from _images(entry.path, folders, skipped)
        elif Path(entry.name).suffix.lower() in _UNREADABLE:
            skipped["images in formats that cannot be read, such as HEIC; convert them to PNG"] += 1
        elif not entry.name.lower().endswith(endings()):
            skipped["files that are not images"] += 1
        elif entry.is_file():
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else f"{real_folder}/{entry.name}"
            yield _File(folder, entry.name, real, is_link)
        elif entry.is_symlink():
            raise ValueError(
                f"{entry.path} is a link to {Path(entry.path).readlink()}, which is missing; put "
                "the image there, or delete the link"
            )
        else:
            skipped["sockets, pipes and devices"] += 1


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOT_DATA


def _is_read_anyway(link: str, folders: set[str]) -> bool:
    """Return whether a link leads to a folder of the part, or to a folder that contains one."""
    real = Path(os.path.realpath(link))
    return any(
        real.is_relative_to(folder) or Path(folder).is_relative_to(real) for folder in folders
    )


def _read(train: Classes, test: Classes, *, image_size: int | None, background: int) -> Source:
    class_names = tuple(train)
    files, labels = [], []
    for name, paths in (*train.items(), *test.items()):
        files += paths
        labels += [class_names.index(name)] * len(paths)
    images, notes = decode(files, image_size=image_size, background=background)
    target = torch.tensor(labels)
    if test:
        num_train = sum(len(paths) for paths in train.values())
        in_train, in_test = torch.arange(num_train), torch.arange(num_train, len(files))
    else:
        in_train, in_test = hold_out(target, max(1, round(len(files) / 10)), "image_folder")
    digests = [hashlib.sha256(image.numpy().data).digest() for image in images]
    train_digests = {digests[index] for index in in_train.tolist()}
    if repeated := sum(digests[index] in train_digests for index in in_test.tolist()):
        notes = (*notes, f"{repeated} images of the test part are also in the training part")
    classes: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, labels, strict=True):
        classes.setdefault(digest, set()).add(label)
    ambiguous = [file for file, d in zip(files, digests, strict=True) if len(classes[d]) > 1]
    if ambiguous:
        note = f"{len(ambiguous)} images are in more than one class, such as {ambiguous[0]}"
        notes = (*notes, note)
    parts = (images[in_train], target[in_train], images[in_test], target[in_test])
    return Source("image_folder", *parts, len(class_names), class_names, notes=notes)
