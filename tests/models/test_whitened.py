"""What is particular to the whitened network, beside what holds for every model."""

import numpy as np
import pytest
import torch
from torch import nn

from losslab.models import WhitenedCNN
from losslab.models.whitened import UnscaledBatchNorm, Whitening


def correlated(count=300, channels=3, size=10, *, seed=0):
    """Noise in which neighbours and channels are alike, and of unequal brightness."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, channels, size + 2, size + 2, generator=draw)
    smooth = (
        nn.functional.avg_pool2d(noise, 3, stride=1)
        + noise.mean(dim=1, keepdim=True)[:, :, 1:-1, 1:-1]
    )
    return smooth * torch.tensor([1.0, 3.0, 0.5]).reshape(1, -1, 1, 1)[:, :channels] + 0.2


def patches_of(images):
    """Every patch of 2x2 pixels as a row, one by one."""
    count, _, height, width = images.shape
    return np.array([
        images[n, :, y : y + 2, x : x + 2].numpy().ravel()
        for n in range(count) for y in range(height - 1) for x in range(width - 1)
    ])  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_are_uncorrelated_and_of_variance_one(channels):
    images = correlated(channels=channels)
    layer = Whitening(channels).double()
    before = np.cov(patches_of(images), rowvar=False)
    assert np.abs(np.corrcoef(patches_of(images), rowvar=False) - np.eye(4 * channels)).max() > 0.2
    layer.initialize_from(images)
    with torch.no_grad():
        out = layer(images.double())
    half = 4 * channels
    assert torch.equal(out[:, half:], -out[:, :half])
    flat = out[:, :half].permute(1, 0, 2, 3).flatten(1).numpy()
    # Each eigenvalue λ becomes λ / (λ + 5e-4).
    values = np.linalg.eigvalsh(before)
    np.testing.assert_allclose(np.cov(flat), np.diag(values / (values + 5e-4)), atol=2e-3)


def test_the_first_2000_images_decide_and_threads_do_not():
    images = correlated(2100, size=9)
    found, threads = [], torch.get_num_threads()
    try:
        for number, shown in ((1, images), (2, images), (1, images[:2000])):
            torch.set_num_threads(number)
            layer = Whitening(3)
            layer.initialize_from(shown)
            found.append(layer.weight)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    layer.initialize_from(images[100:])
    assert not torch.equal(found[0], layer.weight)


def test_a_constant_channel_does_no_harm():
    images = correlated()
    images[:, 1] = 0.0
    layer = Whitening(3)
    layer.initialize_from(images)
    assert layer(images).isfinite().all()


def test_the_whitening_is_saved_and_not_trained():
    model = WhitenedCNN((3, 10, 10), 4, width=2)
    model.initialize_from(correlated())
    other = WhitenedCNN((3, 10, 10), 4, width=2)
    other.load_state_dict(model.state_dict())
    images = correlated(5, seed=1)
    assert torch.equal(other.eval()(images), model.eval()(images))
    (layer,) = (part for part in model.modules() if isinstance(part, Whitening))
    assert "weight" not in dict(layer.named_parameters())


def test_a_bias_learns_as_fast_as_one_with_a_rate_of_its_own():
    ours, theirs = UnscaledBatchNorm(3, bias_rate=16.0), nn.BatchNorm2d(3, momentum=0.4)
    theirs.weight.requires_grad_(False)
    kinds = {"momentum": 0.9, "nesterov": True}
    optimizers = [
        torch.optim.SGD(ours.parameters(), lr=0.01, weight_decay=0.1, **kinds),
        torch.optim.SGD([theirs.bias], lr=16 * 0.01, weight_decay=0.1 / 16, **kinds),
    ]
    for _ in range(5):
        features = torch.randn(4, 3, 5, 5)
        outputs = [ours(features), theirs(features)]
        torch.testing.assert_close(*outputs)
        for output, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            (output - 1).square().sum().backward()
            optimizer.step()
    assert theirs.bias.abs().min() > 0.1
    features = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(ours.eval()(features), theirs.eval()(features))


def test_the_convolutions_start_as_the_identity():
    model = WhitenedCNN((3, 16, 16), 4, width=32)
    images = torch.randn(2, 24, 15, 15)
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    assert torch.equal(first(images)[:, :24], images)
    assert first(images).shape[1] == 32


def test_flips_are_averaged_in_evaluation_alone():
    torch.manual_seed(0)
    plain, averaged = (WhitenedCNN((3, 16, 16), 4, width=4, flip_average=f) for f in (False, True))
    averaged.load_state_dict(plain.state_dict())
    images = torch.randn(6, 3, 16, 16)
    assert torch.equal(averaged(images), plain(images))
    for model in (plain, averaged):
        model.eval()
    expected = (plain(images) + plain(images.flip(-1))) / 2
    torch.testing.assert_close(averaged(images), expected)
    assert not torch.allclose(averaged(images), plain(images), atol=1e-3)
