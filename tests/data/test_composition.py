from functools import partial

import pytest
import torch

from losslab.data import Augmentation, Source, build, synthetic
from losslab.data.composition import draw_rows
from losslab.seeding import generator

SOURCE = synthetic(num_train=400, num_test=100, num_classes=3, image_shape=(3, 8, 6))
PARTS = ("train", "val", "test")


def pieces(part, digits):
    """Every image of every row as a hashable value: they are noisy, so no two are equal."""
    return [
        [piece.contiguous().numpy().tobytes() for piece in row.chunk(digits, dim=2)]
        for row in part.images
    ]


def known(source, digits):
    """Return image to label, for the official training and test part."""
    parts = (source.train_images, source.train_labels), (source.test_images, source.test_labels)
    return [
        {image.numpy().tobytes(): int(label) for image, label in zip(*part, strict=True)}
        for part in parts
    ]


@pytest.mark.parametrize("digits", [2, 3])
def test_a_rows_class_is_the_number_that_its_images_classes_write(digits):
    dataset = build(SOURCE, val_size=60, digits=digits)
    assert dataset.input_shape == (3, 8, 6 * digits)
    assert dataset.num_classes == len(dataset.class_names) == 3**digits
    train, test = known(SOURCE, digits)
    for name, labels in zip(PARTS, (train, train, test), strict=True):
        part = getattr(dataset, name)
        for row, label in zip(pieces(part, digits), part.labels.tolist(), strict=True):
            written = "".join(str(labels[piece]) for piece in row)
            assert label == int(written, base=3)


def test_no_image_is_in_two_parts_and_all_are_used_equally_often():
    dataset = build(SOURCE, val_size=60, digits=2)
    seen = [[piece for row in pieces(getattr(dataset, part), 2) for piece in row] for part in PARTS]
    train, val, test = map(set, seen)
    assert (len(train), len(val), len(test)) == (340, 60, 100)
    assert len(train | val | test) == 500
    labels = known(SOURCE, 2)[0]
    for label in range(3):
        uses = [seen[0].count(piece) for piece in train if labels[piece] == label]
        assert max(uses) - min(uses) <= 1


def test_the_classes_are_balanced_and_in_no_fixed_order():
    dataset = build(SOURCE, val_size=60, digits=2)
    for part in PARTS:
        counts = getattr(dataset, part).labels.bincount(minlength=9)
        assert counts.max() - counts.min() <= 1
    turns = dataset.train.labels[:333].reshape(37, 9)
    assert (turns.sort(dim=1).values == torch.arange(9)).all()
    assert len({tuple(turn) for turn in turns.tolist()}) == 37


def test_sizes_are_those_of_the_parts_or_enough_for_every_class():
    few, many = (build(SOURCE, val_size=60, digits=digits) for digits in (2, 3))
    assert [len(getattr(few, part).labels) for part in PARTS] == [340, 60, 100]
    assert [len(getattr(many, part).labels) for part in PARTS] == [540, 135, 135]


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_smaller_training_part_is_the_beginning_of_a_larger_one(noise):
    sizes = (9, 300, 5000)
    small, middle, large = (
        build(SOURCE, val_size=60, digits=2, train_size=size, label_noise=noise) for size in sizes
    )
    assert [len(dataset.train.labels) for dataset in (small, middle, large)] == list(sizes)
    assert torch.equal(middle.train.images[:9], small.train.images)
    assert torch.equal(large.train.images[:300], middle.train.images)
    assert torch.equal(large.train.clean_labels[:300], middle.train.clean_labels)
    for part in ("val", "test"):
        assert torch.equal(getattr(large, part).images, getattr(small, part).images)
    assert len(build(SOURCE, val_size=60, digits=2, train_size=0.5).train.labels) == 170


def test_the_split_seed_decides():
    first, again, other = (build(SOURCE, val_size=60, digits=2, split_seed=s) for s in (0, 0, 1))
    for part in PARTS:
        one, same, another = (getattr(dataset, part) for dataset in (first, again, other))
        assert torch.equal(one.images, same.images)
        assert torch.equal(one.labels, same.labels)
        assert not torch.equal(one.images, another.images)


def test_label_noise_is_on_the_composed_labels():
    dataset = build(SOURCE, val_size=60, digits=2, label_noise=0.5)
    changed = dataset.train.labels != dataset.train.clean_labels
    assert int(changed.sum()) == 170
    assert dataset.train.labels.max() == 8
    # Whichever of the eight other classes: also those that differ in both places.
    first, second = (dataset.train.labels // 3, dataset.train.labels % 3)
    clean_first, clean_second = (dataset.train.clean_labels // 3, dataset.train.clean_labels % 3)
    assert bool(((first != clean_first) & (second != clean_second)).any())
    for part in (dataset.val, dataset.test):
        assert torch.equal(part.labels, part.clean_labels)


def test_fewer_classes_are_fewer_digits():
    dataset = build(SOURCE, val_size=40, digits=3, num_classes=2)
    assert dataset.num_classes == 8
    assert dataset.class_names[5] == "pattern 1+pattern 0+pattern 1"
    labels = known(SOURCE, 3)[0]
    assert {labels[piece] for row in pieces(dataset.train, 3) for piece in row} == {0, 1}


def test_statistics_are_those_of_the_rows():
    dataset = build(SOURCE, val_size=60, digits=2, train_size=50)
    pixels = dataset.train.images.double() / 255
    assert dataset.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    std = pixels.std(dim=(0, 2, 3), correction=0)
    assert dataset.std == pytest.approx(std.tolist(), rel=1e-12)


def test_one_digit_is_the_image_itself():
    plain, one = build(SOURCE, val_size=60), build(SOURCE, val_size=60, digits=1)
    assert torch.equal(plain.train.images, one.train.images)
    assert one.class_names == SOURCE.class_names


def test_the_images_of_each_class_have_an_order_of_their_own():
    labels = torch.arange(2).repeat_interleave(30)
    stream = partial(generator, 0)
    rows, _ = draw_rows(labels, num_classes=2, digits=1, size=60, stream=stream)
    first, second = (rows[labels[rows] == label] for label in (0, 1))
    assert first.sort().values.tolist() == list(range(30))
    assert not torch.equal(first, second - 30)


def test_a_class_may_have_a_single_image():
    labels = torch.tensor([0, 1, 1])
    draw = partial(draw_rows, labels, num_classes=2, digits=2, stream=partial(generator, 0))
    members, _ = draw(size=8)
    assert (members[labels[members] == 0] == 0).all()
    assert torch.equal(draw(size=1)[0], members[:1])


@pytest.mark.slow
def test_hundred_classes_of_real_digits(mnist5k_cache):
    from losslab.data import mnist5k

    dataset = build(mnist5k(cache_dir=mnist5k_cache), val_size=500, digits=2)
    assert dataset.class_names == tuple(f"{number:02d}" for number in range(100))
    assert dataset.input_shape == (1, 28, 56)
    assert [len(getattr(dataset, part).labels) for part in PARTS] == [3500, 500, 1000]
    assert dataset.val.labels.bincount().tolist() == [5] * 100
    assert dataset.test.labels.bincount().tolist() == [10] * 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"digits": wrong}, f"digits={wrong}; give a whole number .* from 1 to 13")
            for wrong in (0, -1, 14, 10**9, 2.0, True, float("nan"), "two", None)
        ),
        ({"digits": 9}, "digits=9 turns 3 classes into 19683; allowed are 10000"),
        ({"digits": 2, "augmentation": Augmentation(flip=True)}, "augmentation.flip=false"),
        ({"digits": 2, "train_size": 8}, "train_size=8 .* from 9 to 34000"),
        ({"digits": 2, "train_size": 34001}, "train_size=34001 .* from 9 to 34000"),
        ({"digits": 2, "val_size": 2}, "the validation part, which has none of 'pattern"),
        ({"digits": 2, "num_classes": 4}, "num_classes=4 is more than the 3 classes"),
    ],
)
def test_bad_options_are_told_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(SOURCE, **{"val_size": 60, **options})
    assert "\n" not in str(caught.value)


def test_a_test_part_without_a_class_is_told():
    images, labels = torch.zeros(6, 1, 4, 4, dtype=torch.uint8), torch.arange(6) % 3
    source = Source("x", images, labels, images[:2], labels[:2], 3, ("a", "b", "c"))
    with pytest.raises(ValueError, match="each class in the test part, which has none of 'c'"):
        build(source, val_size=3, digits=2)
    shifted = build(source, val_size=2, digits=2, num_classes=2, augmentation=Augmentation(False))
    assert shifted.num_classes == 4
