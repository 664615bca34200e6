from dataclasses import replace

import pytest
import torch

from losslab.data import Augmentation, BatchLoader, build, synthetic

SHAPES = [(1, 8, 8), (3, 6, 9)]


def make(shape=(3, 6, 9), **options):
    dataset = build(synthetic(num_train=110, num_test=20, image_shape=shape), val_size=10)
    options = {"batch_size": 32, "mean": dataset.mean, "std": dataset.std, **options}
    return dataset, BatchLoader(dataset.train, **options)


def reference(images, dataset):
    mean, std = (torch.tensor(x).double().reshape(-1, 1, 1) for x in (dataset.mean, dataset.std))
    return (images.double() / 255 - mean) / std


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_in_order_gives_normalised_images(shape, channels_last):
    dataset, loader = make(shape, channels_last=channels_last)
    batches = list(loader.in_order(64))
    assert [len(batch.labels) for batch in batches] == [64, 36]
    images = torch.cat([batch.images for batch in batches])
    torch.testing.assert_close(
        images.double(), reference(dataset.train.images, dataset), rtol=0, atol=1e-5
    )
    assert images.dtype == torch.float32
    assert images.mean().abs() < 1e-5
    assert torch.equal(torch.cat([batch.labels for batch in batches]), dataset.train.labels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("augmentation", [None, Augmentation(flip=True, padding=1)])
@pytest.mark.parametrize("order", ["epoch", "in_order"])
def test_the_layout_in_memory_is_what_was_asked(shape, augmentation, order):
    channels, height, width = shape
    pixels = height * width
    for channels_last, expected in [
        (False, (channels * pixels, pixels, width, 1)),
        # Also for one channel, where torch's own test cannot tell the two layouts apart.
        (True, (channels * pixels, 1, width * channels, channels)),
    ]:
        _, loader = make(shape, channels_last=channels_last, augmentation=augmentation)
        batches = loader.epoch(0, 0) if order == "epoch" else loader.in_order()
        assert next(batches).images.stride() == expected


@pytest.mark.parametrize("augmentation", [None, Augmentation(flip=True, padding=2)])
def test_both_layouts_hold_the_same_numbers(augmentation):
    loaders = [make(channels_last=c, augmentation=augmentation)[1] for c in (False, True)]
    for one, other in zip(*(loader.epoch(3, 1) for loader in loaders), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_an_epoch_goes_once_through_everything_and_drops_nothing():
    dataset, loader = make()
    batches = list(loader.epoch(0, 0))
    assert [len(batch.labels) for batch in batches] == [32, 32, 32, 4]
    assert len(loader) == 4
    # Sorted by their sums, epoch and order hold the same images.
    sums = torch.cat([batch.images for batch in batches]).double().sum(dim=(1, 2, 3)).sort().values
    whole = reference(dataset.train.images, dataset).sum(dim=(1, 2, 3)).sort().values
    torch.testing.assert_close(sums, whole, rtol=0, atol=1e-3)


def test_clean_labels_come_in_the_order_of_the_epoch():
    dataset, _ = make()
    part = replace(dataset.train, labels=torch.arange(100), clean_labels=torch.arange(100) + 1000)
    loader = BatchLoader(part, batch_size=32, mean=dataset.mean, std=dataset.std)
    given = torch.cat([batch.labels for batch in loader.epoch(5, 2)])
    assert torch.equal(loader.clean_labels(5, 2), given + 1000)


def labels(batches):
    return torch.cat([batch.labels for batch in batches]).tolist()


def test_order_depends_on_seed_and_epoch_alone():
    dataset, loader = make()
    _, other = make(channels_last=True, augmentation=Augmentation())
    # A global stream that others draw from must not matter.
    torch.rand(7)
    assert labels(loader.epoch(5, 2)) == labels(other.epoch(5, 2))
    assert labels(loader.epoch(5, 2)) != labels(loader.epoch(5, 3))
    assert labels(loader.epoch(5, 2)) != labels(loader.epoch(6, 2))
    small = BatchLoader(dataset.train, batch_size=7, mean=dataset.mean, std=dataset.std)
    assert labels(loader.epoch(5, 2)) == labels(small.epoch(5, 2))


def test_each_seed_and_epoch_draws_its_own_augmentation():
    _, loader = make(augmentation=Augmentation(flip=True, padding=2))
    first, again, next_epoch, other = (loader.draws(*at) for at in ((0, 0), (0, 0), (0, 1), (1, 0)))
    assert torch.equal(first, again)
    assert not torch.equal(first, next_epoch)
    assert not torch.equal(first, other)


def test_evaluation_is_never_augmented():
    dataset, loader = make(augmentation=Augmentation(flip=True, padding=2))
    batch = next(loader.in_order())
    torch.testing.assert_close(
        batch.images.double(), reference(dataset.train.images, dataset), rtol=0, atol=1e-5
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("augmentation", [None, Augmentation(flip=True, padding=2)])
def test_another_device_gets_the_same_batches(augmentation):
    _, here = make(augmentation=augmentation)
    _, there = make(augmentation=augmentation, device="cuda")
    for one, other in zip(here.epoch(0, 0), there.epoch(0, 0), strict=True):
        torch.testing.assert_close(one.images, other.images.cpu(), rtol=0, atol=1e-6)
        assert torch.equal(one.labels, other.labels.cpu())


def test_a_batch_holds_at_least_one_example():
    with pytest.raises(ValueError, match="batch_size=0"):
        make(batch_size=0)


def test_a_mean_without_a_deviation_is_refused():
    dataset = build(synthetic(num_train=100), val_size=20)
    with pytest.raises(ValueError, match="and std=None; give both, or neither"):
        BatchLoader(dataset.train, batch_size=2, mean=dataset.mean)


def test_alternating_flips_mirror_every_image_in_every_second_epoch():
    _, loader = make(augmentation=Augmentation(padding=1, alternate=True))
    flipped = torch.empty(4, loader.num_examples, dtype=torch.int64)
    for epoch in range(4):
        flipped[epoch, loader.order(7, epoch)] = loader.draws(7, epoch)[0]
    assert torch.equal(flipped[0], 1 - flipped[1])
    assert torch.equal(flipped[0], flipped[2])
    assert torch.equal(flipped[1], flipped[3])
    assert 0.3 < flipped[0].double().mean() < 0.7
    other = torch.empty_like(flipped[0])
    other[loader.order(8, 0)] = loader.draws(8, 0)[0]
    assert not torch.equal(other, flipped[0])
    plain = make(augmentation=Augmentation(padding=1))[1].draws(7, 2)
    assert torch.equal(loader.draws(7, 2)[1:], plain[1:])  # the shifts stay as they are
