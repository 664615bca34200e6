import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data import build, image_folder

CLASSES = ("ant", "bee", "cat")


def paint(file, seed, *, size=(9, 7), mode="RGB"):
    """Save an image of ``size`` (width, height) and return its RGB values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(file)
    return values if mode == "RGB" else np.repeat(values[..., None], 3, axis=2)


@pytest.fixture
def root(tmp_path):
    for part, count, first in (("train", 10, 0), ("test", 2, 50)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                paint(tmp_path / part / name / f"{number}.png", 100 * label + number + first)
    return tmp_path


def test_classes_and_pixels(root):
    values = paint(root / "train" / "ant" / "deeper" / "grey.PNG", 7, mode="L")
    (root / "train" / "ant" / "notes.txt").write_text("no picture")
    source = image_folder(root=root)
    assert source.class_names == CLASSES
    assert source.train_images.shape == (31, 3, 7, 9)
    assert source.train_labels.tolist() == [0] * 11 + [1] * 10 + [2] * 10
    assert source.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(source.train_images[10].permute(1, 2, 0).numpy(), values)


def test_the_order_is_torchvisions(root):
    from torchvision.datasets import ImageFolder

    for name in ("a/0.png", "z/0.png", "5.jpeg", "b.PNG"):
        paint(root / "train" / "bee" / name, len(name))
    source, other = image_folder(root=root), ImageFolder(root / "train")
    assert source.class_names == tuple(other.classes)
    for image, label, (picture, target) in zip(
        source.train_images, source.train_labels, other, strict=True
    ):
        assert label == target
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture))


def test_other_names_for_the_parts(root):
    (root / "train").rename(root / "seen")
    (root / "test").rename(root / "unseen")
    source = image_folder(root=root, train_folder="seen", test_folder="unseen")
    assert (len(source.train_labels), len(source.test_labels)) == (30, 6)


def test_without_a_test_part_a_stratified_tenth_is_set_apart(root):
    source = image_folder(root=root, test_folder=None)
    assert source.test_labels.tolist() == [0, 1, 2]
    assert source.train_labels.bincount().tolist() == [9, 9, 9]
    again = image_folder(root=root, test_folder=None)
    assert torch.equal(source.test_images, again.test_images)
    images = torch.cat([source.train_images, source.test_images])
    assert len(images.flatten(1).unique(dim=0)) == 30


def test_a_test_class_keeps_its_label_where_another_is_missing(root):
    for file in (root / "test" / "ant").iterdir():
        file.unlink()
    (root / "test" / "ant").rmdir()
    assert image_folder(root=root).test_labels.tolist() == [1, 1, 2, 2]


def test_the_cache_follows_the_files(root):
    cache = root / "cache"
    first = image_folder(root=root, cache_dir=cache)
    assert torch.equal(first.train_images, image_folder(root=root, cache_dir=cache).train_images)
    file = root / "train" / "ant" / "0.png"
    values = paint(file, 999)
    os.utime(file, ns=(1, 1))
    changed = image_folder(root=root, cache_dir=cache)
    np.testing.assert_array_equal(changed.train_images[0].permute(1, 2, 0).numpy(), values)
    assert image_folder(root=root, image_size=8, cache_dir=cache).train_images.shape[2:] == (8, 8)


def test_different_sizes_need_an_image_size(root):
    file = root / "test" / "cat" / "1.png"
    paint(file, 0, size=(5, 6))
    with pytest.raises(ValueError, match=r"0.png is 9x7, .*1.png is 5x6; give data.image_size"):
        image_folder(root=root)
    source = image_folder(root=root, image_size=12)
    assert source.train_images.shape == (30, 3, 12, 12)


def cut(file):
    file.write_bytes(file.read_bytes()[:60])


@pytest.mark.parametrize("damage", [cut, lambda file: file.write_bytes(b"no picture")])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_an_image_that_cannot_be_read_is_named(root, damage, ending):
    file = root / "train" / "bee" / f"broken{ending}"
    paint(file, 0)
    damage(file)
    with pytest.raises(ValueError, match=f"cannot read the image .*broken{ending}") as caught:
        image_folder(root=root)
    assert "\n" not in str(caught.value)


def remove_training(root):
    (root / "train").rename(root / "elsewhere")


def empty_class(root):
    (root / "train" / "dog").mkdir()


def linked_test_part(root):
    (root / "test").rename(root / "elsewhere")
    (root / "test").symlink_to(root / "train")


def endless_link(root):
    (root / "train" / "ant" / "self").symlink_to("self")


def unknown_class(root):
    paint(root / "test" / "dog" / "0.png", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_training, "no folder .*train; give data.root=FOLDER"),
        (empty_class, "no images in .*dog"),
        (linked_test_part, "test is a link to the training part; give data.test_folder=null"),
        (endless_link, "cannot read the folder .*ant/self .*; repair or delete it"),
        (unknown_class, "holds the class 'dog', which .* does not"),
    ],
)
def test_folders_that_do_not_fit(root, change, message):
    change(root)
    with pytest.raises(ValueError, match=message):
        image_folder(root=root)


def test_one_class_is_too_few(tmp_path):
    paint(tmp_path / "train" / "ant" / "0.png", 0)
    with pytest.raises(ValueError, match="holds 1 class folders"):
        image_folder(root=tmp_path)


def test_image_size_out_of_range(root):
    with pytest.raises(ValueError, match="image_size=0"):
        image_folder(root=root, image_size=0)


def test_it_builds_a_data_set(root):
    dataset = build(image_folder(root=root), val_size=0.1)
    assert dataset.val.labels.tolist() == [0, 1, 2]
    assert dataset.input_shape == (3, 7, 9)


WIDE = np.array([[0, 9000], [40000, 65535]], np.uint16)
SCALED = [[0, 35], [156, 255]]
ALPHA = np.array([[0, 255], [128, 255]], np.uint8)


def grey(values, file, **options):
    Image.fromarray(np.asarray(values)).save(file, **options)


def with_alpha(mode, file, shade):
    image = Image.new("RGBA", (2, 2), (shade, shade, shade))
    image.putalpha(Image.fromarray(ALPHA))
    image.convert(mode).save(file)


def palette(file):
    image = Image.new("P", (2, 2))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.putdata([0, 1, 1, 1])
    image.save(file, transparency=0)


def turned(file):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    grey(np.array([[0, 10], [20, 30]], np.uint8), file, exif=exif)


def frames(file):
    first, second = (Image.new("RGB", (2, 2), (shade,) * 3) for shade in (50, 200))
    first.save(file, save_all=True, append_images=[second])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(file, header, rows, *more):
    """A PNG as Pillow does not write it."""
    parts = (
        chunk(b"IHDR", header),
        *more,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


HEADER = struct.pack(">II", 2, 2)


def wide_with_a_key(file):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in WIDE)
    png(file, HEADER + bytes([16, 0, 0, 0, 0]), rows, chunk(b"tRNS", b"\x23\x28"))


# How to save 2x2 pixels, and the grey values that they have.
MODES = {
    "16-bit.png": (lambda file: grey(WIDE, file), SCALED),
    "16-bit.tif": (lambda file: grey(WIDE, file), SCALED),
    "16-bit.pgm": (lambda file: grey(WIDE.astype(np.int32), file), SCALED),
    "white is zero.tif": (
        lambda file: grey(WIDE, file, tiffinfo={262: 0}),
        [[255, 220], [99, 0]],
    ),
    "1-bit.png": (lambda file: grey(WIDE > 0, file), [[0, 255], [255, 255]]),
    "black shape.png": (lambda file: with_alpha("RGBA", file, 0), [[128, 0], [64, 0]]),
    "white shape.png": (lambda file: with_alpha("RGBA", file, 255), [[128, 255], [192, 255]]),
    "grey and alpha.png": (lambda file: with_alpha("LA", file, 0), [[128, 0], [64, 0]]),
    "alpha.webp": (
        lambda file: with_alpha("RGBA", file, 255),
        [[128, 255], [192, 255]],
    ),
    "palette.png": (palette, [[128, 255], [255, 255]]),
    "palette.gif": (palette, [[128, 255], [255, 255]]),
    "cmyk.tif": (
        lambda file: Image.new("CMYK", (2, 2), (0, 0, 0, 55)).save(file),
        [[200, 200], [200, 200]],
    ),
    "ycbcr.tif": (
        lambda file: Image.new("YCbCr", (2, 2), (77, 128, 128)).save(file),
        [[77, 77], [77, 77]],
    ),
    "turned.png": (turned, [[30, 20], [10, 0]]),
    "turned.tif": (turned, [[30, 20], [10, 0]]),
    "frames.gif": (frames, [[50, 50], [50, 50]]),
    "frames.tiff": (frames, [[50, 50], [50, 50]]),
    "frames.png": (frames, [[50, 50], [50, 50]]),
}


@pytest.fixture
def small(tmp_path):
    """Two classes of one 2x2 image each."""
    for name in "ab":
        paint(tmp_path / "train" / name / "0.bmp", 0, size=(2, 2))
    return tmp_path


@pytest.mark.parametrize("name", MODES)
def test_every_mode_is_read_rightly(small, name):
    save, expected = MODES[name]
    file = small / "train" / "a" / name
    save(file)
    source = image_folder(root=small, test_folder=None)
    images = torch.cat([source.train_images, source.test_images])
    found = torch.tensor(expected, dtype=torch.uint8).expand(3, 2, 2)
    assert any(torch.equal(image, found) for image in images), images
    said = {"turned": "rotated", "frames": "frames", "16-bit": "16 bits", "alpha": "grey 128"}
    told = "\n".join(source.notes)
    assert [words for key, words in said.items() if key in name and words not in told] == []


UNKNOWN = {
    "F.tif": lambda file: grey(np.zeros((2, 2), np.float32), file),
    "I.tif": lambda file: grey(np.zeros((2, 2), np.int32), file),
    "L.tif": lambda file: grey(np.zeros((2, 2), np.uint8), file, tiffinfo={339: 2}),
    "LAB.tif": lambda file: Image.new("LAB", (2, 2)).save(file),
    "I;16.png": wide_with_a_key,
    "RGB.png": lambda file: png(
        file, HEADER + bytes([16, 2, 0, 0, 0]), bytes(26), chunk(b"tRNS", bytes(6))
    ),
    "L.png": lambda file: png(
        file, HEADER + bytes([2, 0, 0, 0, 0]), bytes(4), chunk(b"tRNS", b"\0\1")
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_mode_of_unknown_range_is_refused(small, name):
    UNKNOWN[name](small / "train" / "a" / name)
    with pytest.raises(ValueError, match=f"image .*{name} .*mode {name.partition('.')[0]}"):
        image_folder(root=small)


def test_another_background(small):
    with_alpha("RGBA", small / "train" / "a" / "1.png", 0)
    source = image_folder(root=small, test_folder=None, background=255)
    images = torch.cat([source.train_images, source.test_images])
    assert [255, 0, 127, 0] in images[:, 0].flatten(1).tolist()
    with pytest.raises(ValueError, match="background=256; give a grey level from 0 to 255"):
        image_folder(root=small, background=256)


def test_what_would_fill_the_memory_is_refused_before_it_is_decoded(small):
    file = small / "train" / "a" / "bomb.png"
    for side in (12_000, 60_000):
        png(file, struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"")
        with pytest.raises(ValueError, match=r"cannot read the image .*bomb.png .*exceeds limit"):
            image_folder(root=small)
    file.unlink()
    with pytest.raises(ValueError, match=r"GB of memory.*smaller data.image_size"):
        image_folder(root=small, image_size=10_000_000)


def test_each_image_is_read_once_and_what_is_skipped_is_told(root):
    part = root / "train"
    expected = image_folder(root=root)
    for name in (".ipynb_checkpoints", "__MACOSX", "ant/.ipynb_checkpoints", "ant/@eaDir"):
        paint(part / name / "0-checkpoint.png", 0)
    for name in (".DS_Store", "ant/._0.png", "ant/Thumbs.db", "ant/notes.txt", "loose.png"):
        (part / name).write_bytes(b"no image")
    os.mkfifo(part / "ant" / "pipe.png")
    (part / "ant" / "loop").symlink_to(part)
    (part / "ant" / "other class").symlink_to(part / "bee")
    (part / "dog").symlink_to(part / "cat")
    (part / "bee" / "again.png").symlink_to(part / "ant" / "0.png")
    source = image_folder(root=root)
    assert torch.equal(source.train_images, expected.train_images)
    assert torch.equal(source.train_labels, expected.train_labels)
    assert source.notes == (
        "skipped 1: files outside class folders",
        "skipped 1: files that are not images",
        "skipped 7: hidden files and folders, and files left by programs",
        "skipped 1: links to files that are read anyway",
        "skipped 3: links to folders that are read anyway",
        "skipped 1: sockets, pipes and devices",
    )


def test_images_of_several_classes_and_unreadable_formats_are_told(root):
    part = root / "train"
    (part / "ant" / "phone.HEIC").write_bytes(b"an image")
    (part / "bee" / "copy.png").write_bytes((part / "ant" / "0.png").read_bytes())
    os.link(part / "ant" / "0.png", part / "bee" / "hard link.png")
    told = image_folder(root=root).notes
    assert (
        "skipped 1: images in formats that cannot be read, such as HEIC; convert them to PNG"
        in (told)
    )
    assert f"3 images are in more than one class, such as {part / 'ant' / '0.png'}" in told


def test_links_to_images_kept_elsewhere_are_followed(root):
    for number in range(3):
        paint(root / "store" / "deep" / f"{number}.png", number)
    (root / "store" / "loop").symlink_to(root / "store")
    (root / "train" / "dog").symlink_to(root / "store")
    (root / "train" / "ant" / "more.png").symlink_to(root / "store" / "deep" / "0.png")
    source = image_folder(root=root)
    # The file is read as a dog, and not once more as an ant.
    assert source.train_labels.bincount().tolist() == [10, 10, 10, 3]
    (root / "train" / "ant" / "lost.png").symlink_to(root / "nowhere.png")
    with pytest.raises(ValueError, match=r"lost.png is a link to .*nowhere.png, which is missing"):
        image_folder(root=root)


@pytest.mark.parametrize("ending", ["gif", "jfif", "JPE", "avif", "webp", "jp2", "tga", "Tiff"])
def test_every_usual_ending_is_read(small, ending):
    name = "jpeg" if ending in ("jfif", "JPE") else ending.lower()
    image = Image.new("RGB", (2, 2), (90, 90, 90))
    image.save(small / "train" / "a" / f"1.{ending}", format={"jp2": "JPEG2000"}.get(name, name))
    assert len(image_folder(root=small, test_folder=None).train_labels) == 2


def test_a_folder_val_is_never_passed_over_in_silence(root):
    (root / "test").rename(root / "val")
    with pytest.raises(ValueError, match=r"no folder .*test; give data.test_folder=val .* or"):
        image_folder(root=root)
    assert len(image_folder(root=root, test_folder="val").test_labels) == 6
    source = image_folder(root=root, test_folder=None)
    assert source.notes == (
        "the test part is a tenth of the training folder",
        "not used: the folder val",
    )
    with pytest.raises(ValueError, match="test_folder=train is the training part"):
        image_folder(root=root, test_folder="train")
    with pytest.raises(ValueError, match=r"no folder .*tset"):
        image_folder(root=root, test_folder="tset")


def test_images_in_both_parts_are_counted(root):
    assert image_folder(root=root).notes == ()
    (root / "test" / "bee" / "copy.png").write_bytes((root / "train/ant/0.png").read_bytes())
    (root / "test" / "bee" / "link.png").hardlink_to(root / "train/ant/1.png")
    assert image_folder(root=root).notes == (
        "2 images of the test part are also in the training part",
        f"4 images are in more than one class, such as {root / 'train' / 'ant' / '0.png'}",
    )


def test_a_name_that_is_not_utf_8(root):
    Path(os.fsdecode(os.fsencode(root / "train") + b"/caf\xe9")).mkdir()
    with pytest.raises(ValueError, match=r"train/caf\\xe9' is not UTF-8; rename it"):
        image_folder(root=root)


def test_an_edit_that_the_clock_does_not_show(root, monkeypatch):
    cache, file = root / "cache", root / "train" / "ant" / "0.png"
    image_folder(root=root, cache_dir=cache)
    assert not cache.exists()  # what was just written may be written to once more
    monkeypatch.setattr(sys.modules["losslab.data.image_folder"], "_CLOCK_TICK_S", 0.0)
    image_folder(root=root, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2
    times, size = file.stat(), file.stat().st_size
    content = Image.open(file).rotate(180)
    content.save(file)
    file.write_bytes(file.read_bytes().ljust(size, b"\0")[:size])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as rsync and cp -p do
    changed = image_folder(root=root, cache_dir=cache)
    np.testing.assert_array_equal(
        changed.train_images[0].permute(1, 2, 0).numpy(), np.asarray(content)
    )
