import os

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data import build, image_folder

CLASSES = ("ant", "bee", "cat")


def paint(file, seed, *, size=(9, 7), mode="RGB"):
    """Save a picture of ``size`` (width, height) and return its RGB values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(file)
    return values if mode == "RGB" else np.repeat(values[..., None], 3, axis=2)


@pytest.fixture
def root(tmp_path):
    for part, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                paint(tmp_path / part / name / f"{number}.png", 100 * label + number)
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


def test_without_a_test_folder_a_stratified_tenth_is_set_apart(root):
    source = image_folder(root=root, test_folder="none")
    assert source.test_labels.tolist() == [0, 1, 2]
    assert source.train_labels.bincount().tolist() == [9, 9, 9]
    again = image_folder(root=root, test_folder="none")
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
def test_a_picture_that_cannot_be_read_is_named(root, damage, ending):
    file = root / "train" / "bee" / f"broken{ending}"
    paint(file, 0)
    damage(file)
    with pytest.raises(ValueError, match=f"cannot read the picture .*broken{ending}") as caught:
        image_folder(root=root)
    assert "\n" not in str(caught.value)


def remove_training(root):
    (root / "train").rename(root / "elsewhere")


def empty_class(root):
    (root / "train" / "dog").mkdir()


def unknown_class(root):
    paint(root / "test" / "dog" / "0.png", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_training, "no folder .*train; give data.root=FOLDER"),
        (empty_class, "no pictures in .*dog"),
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
