from dataclasses import replace

import numpy as np
import pytest
import torch

from losslab.data import Augmentation, Source, build, load, synthetic

SOURCE = synthetic(num_train=400, num_test=100, num_classes=4, image_shape=(3, 8, 8))


def rows(part):
    """Each image as a hashable value: the images are noisy, so no two are equal."""
    return [image.numpy().tobytes() for image in part.images]


def test_parts_are_disjoint_stratified_and_complete():
    dataset = build(SOURCE, val_size=80)
    train, val, test = rows(dataset.train), rows(dataset.val), rows(dataset.test)
    assert (len(train), len(val), len(test)) == (320, 80, 100)
    assert len({*train, *val, *test}) == 500
    assert {*train, *val} == {image.numpy().tobytes() for image in SOURCE.train_images}
    assert dataset.val.labels.bincount().tolist() == [20] * 4
    assert dataset.train.labels.bincount().tolist() == [80] * 4
    assert dataset.input_shape == (3, 8, 8)
    assert dataset.num_classes == 4


def test_same_seed_same_split_other_seed_another():
    first, again = build(SOURCE, val_size=80), build(SOURCE, val_size=80)
    assert torch.equal(first.train.images, again.train.images)
    assert set(rows(first.val)) != set(rows(build(SOURCE, val_size=80, split_seed=1).val))


@pytest.mark.parametrize("options", [{"train_size": 40}, {"label_noise": 0.5}])
def test_validation_and_test_do_not_depend_on_other_options(options):
    plain, other = build(SOURCE, val_size=80), build(SOURCE, val_size=80, **options)
    for part in ("val", "test"):
        assert torch.equal(getattr(plain, part).images, getattr(other, part).images)
        assert torch.equal(getattr(plain, part).labels, getattr(other, part).labels)


def test_a_smaller_training_part_is_the_beginning_of_a_larger_one():
    sizes = [40, 160, None]
    small, middle, whole = (build(SOURCE, val_size=80, train_size=size).train for size in sizes)
    assert torch.equal(middle.images[:40], small.images)
    assert torch.equal(whole.images[:160], middle.images)
    assert small.labels.bincount().tolist() == [10] * 4


def test_a_fraction_is_of_the_official_training_part():
    dataset = build(SOURCE, val_size=0.1, train_size=0.5)
    assert (len(dataset.val.labels), len(dataset.train.labels)) == (40, 180)


def test_noise_touches_training_labels_alone_and_keeps_the_clean_ones():
    clean, noisy = build(SOURCE, val_size=80), build(SOURCE, val_size=80, label_noise=0.4)
    assert torch.equal(noisy.train.clean_labels, clean.train.labels)
    assert int((noisy.train.labels != noisy.train.clean_labels).sum()) == 128
    for part in (noisy.val, noisy.test):
        assert torch.equal(part.labels, part.clean_labels)


def test_fewer_classes_keep_the_first_ones_everywhere():
    dataset = build(SOURCE, val_size=20, num_classes=2, label_noise=0.3)
    assert dataset.num_classes == len(dataset.class_names) == 2
    for part in (dataset.train, dataset.val, dataset.test):
        assert part.labels.unique().tolist() == [0, 1]
    assert len(dataset.test.labels) == 50


def test_statistics_are_those_of_the_training_part_in_float64():
    dataset = build(SOURCE, val_size=80)
    pixels = dataset.train.images.double() / 255
    mean, std = pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3), correction=0)
    assert dataset.mean == pytest.approx(mean.tolist(), rel=1e-12)
    assert dataset.std == pytest.approx(std.tolist(), rel=1e-12)


def test_options_may_be_scalars_of_numpy_or_torch():
    options = {"train_size": 40, "split_seed": 1, "num_classes": 2, "label_noise": 0.25}
    expected = build(SOURCE, val_size=80, **options).sha256()
    for kinds in ([np.int64] * 3 + [np.float64], [torch.tensor] * 4):
        given = {name: kind(options[name]) for kind, name in zip(kinds, options, strict=True)}
        assert build(SOURCE, val_size=np.int32(80), **given).sha256() == expected
    assert len(load("synthetic", train_size=np.int64(40)).train.labels) == 40


def test_a_part_that_is_not_there():
    with pytest.raises(ValueError, match="part='valid'; give train, val or test"):
        build(SOURCE, val_size=80).tensors("valid")


def test_a_constant_channel_gets_a_divisor_of_one():
    images = torch.full((8, 1, 4, 4), 51, dtype=torch.uint8)
    labels = torch.arange(8) % 2
    dataset = build(Source("flat", images, labels, images, labels, 2, ("a", "b")), val_size=2)
    assert (dataset.mean, dataset.std) == ((0.2,), (1.0,))


def test_the_checksum_is_of_everything_that_a_run_depends_on():
    dataset = build(SOURCE, val_size=80, label_noise=0.25)
    same = [build(SOURCE, val_size=80, label_noise=0.25), replace(dataset, name="x", notes=("x",))]
    others = [
        replace(dataset, num_classes=5),
        replace(dataset, class_names=("a", *dataset.class_names[1:])),
        replace(dataset, input_shape=(3, 4, 16)),
        replace(dataset, mean=(0.5, *dataset.mean[1:])),
        replace(dataset, std=(0.5, *dataset.std[1:])),
    ]
    for name in ("train", "val", "test"):
        part = getattr(dataset, name)
        for key, values in vars(part).items():
            changed = values.clone()
            changed.view(-1)[-1] ^= 1
            others.append(replace(dataset, **{name: replace(part, **{key: changed})}))
        reshaped = replace(part, images=part.images.view(-1, 3, 4, 16))
        others.append(replace(dataset, **{name: reshaped}))
    assert {each.sha256() for each in same} == {dataset.sha256()}
    assert len({each.sha256() for each in (dataset, *others)}) == 1 + len(others) == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_size": 0}, "val_size=0 "),
        ({"val_size": 1.0}, "val_size=1.0 "),
        ({"val_size": 397}, "val_size=397 asks for 397 of 400 examples; .* from 1 to 396"),
        ({"train_size": 0}, "train_size=0 "),
        ({"train_size": 3}, "train_size=3 .* from 4 to 320"),
        ({"train_size": 321}, "train_size=321 .* from 4 to 320"),
        ({"num_classes": 1}, "num_classes=1; give a whole number ≥ 2, or null for all"),
        ({"num_classes": 5}, "num_classes=5 is more than the 4 classes of synthetic"),
        ({"label_noise": 1.0}, r"label_noise=1.0; give a share in \[0, 1\)"),
        ({"label_noise": -0.1}, "label_noise=-0.1"),
        ({"label_noise": float("nan")}, "label_noise=nan"),
        ({"label_noise": 1e-3}, "training labels; give 0, or at least 0.0"),
        ({"noise_kind": "pair"}, "noise_kind=pair; give one of symmetric, pairwise"),
    ],
)
def test_bad_options_are_told_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(SOURCE, **{"val_size": 80, **options})
    assert "\n" not in str(caught.value)


def test_load_checks_ranges_before_it_reads():
    def source():
        raise AssertionError("read before it was checked")

    with pytest.raises(ValueError, match="label_noise=2"):
        load(source, dataset="x", val_size=10, label_noise=2)


def test_load_hands_its_other_arguments_to_the_source():
    augmentation = Augmentation(flip=False, padding=2)
    dataset = load(
        synthetic, dataset="blobs", val_size=10, augmentation=augmentation, num_train=60, noise=0.0
    )
    assert dataset.name == "blobs"
    assert dataset.augmentation is augmentation
    assert len(dataset.train.labels) == 50


BLANK = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_images": BLANK.float()}, "train part: images are torch.float32"),
        ({"train_images": BLANK[0]}, r"shape \(1, 8, 8\)"),
        ({"test_labels": LABELS.int()}, "test part: labels are torch.int32"),
        ({"train_labels": LABELS[:3]}, "one for each image"),
        ({"test_images": BLANK[:0], "test_labels": LABELS[:0]}, "test part: holds no images"),
        ({"train_labels": LABELS + 1}, "labels lie in"),
        ({"test_labels": LABELS - 1}, "labels lie in -1 to 0"),
        ({"test_images": BLANK[..., :7]}, r"both parts need one \(C, H, W\)"),
        ({"class_names": ("a",)}, "1 class names for num_classes=2"),
    ],
)
def test_a_source_checks_itself(changed, message):
    good = {
        "name": "blank",
        "train_images": BLANK,
        "train_labels": LABELS,
        "test_images": BLANK,
        "test_labels": LABELS,
        "num_classes": 2,
        "class_names": ("a", "b"),
    }
    assert Source(**good).num_classes == 2
    with pytest.raises(ValueError, match=message):
        Source(**{**good, **changed})
