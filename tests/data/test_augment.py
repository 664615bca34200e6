import numpy as np
import pytest
import torch

from losslab.data import Augmentation
from losslab.seeding import generator


def one_by_one(images, draw, padding, mode):
    """The definition, an example at a time: mirror, surround by black or reflections, crop."""
    result = []
    for image, flipped, top, left in zip(images, *draw.tolist(), strict=True):
        _, height, width = image.shape
        edges = ((0, 0), (padding, padding), (padding, padding))
        mirrored = image.flip(-1) if flipped else image
        canvas = torch.from_numpy(np.pad(mirrored.numpy(), edges, mode=mode))
        result.append(canvas[:, top : top + height, left : left + width])
    return torch.stack(result)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 5, 8)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_against_a_loop(flip, padding, shape, dtype, mode):
    augmentation = Augmentation(flip=flip, padding=padding, padding_mode=mode)
    images = torch.randint(1, 256, (40, *shape), generator=generator(0, "images")).to(dtype)
    draw = augmentation.draw(40, generator(0, "draw"))
    expected = one_by_one(images, draw, padding, mode)
    assert torch.equal(augmentation.apply(images, draw), expected)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augmentation.apply(last, draw), expected)


def test_draws_are_per_example_and_cover_their_ranges():
    draw = Augmentation(flip=True, padding=2).draw(2000, generator(0, "draw"))
    flipped, top, left = draw
    assert 0.45 < flipped.double().mean() < 0.55
    for shift in (top, left):
        assert (torch.bincount(shift, minlength=5) > 300).all()
        assert shift.max() == 4
    assert not torch.equal(top, left)


def test_nothing_to_do_changes_nothing():
    augmentation = Augmentation(flip=False, padding=0)
    images = torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4)
    assert torch.equal(augmentation.apply(images, augmentation.draw(2, generator(0))), images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": -1}, "padding=-1"),
        ({"padding_mode": "edge"}, "padding_mode='edge'; give one of constant, reflect"),
        ({"flip": False, "alternate": True}, "alternate=true needs mirroring; add flip"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_an_edge_is_reflected_once():
    augmentation = Augmentation(padding=4, padding_mode="reflect")
    images = torch.zeros(2, 1, 4, 9, dtype=torch.uint8)
    with pytest.raises(ValueError, match="padding=4 with padding_mode=reflect needs images of"):
        augmentation.apply(images, augmentation.draw(2, generator(0)))
