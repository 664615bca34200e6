import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from losslab.models import MLP, DeepCNN, Linear, ResNet20, SmallCNN, WhitenedCNN

CONF = Path(__file__).parents[2] / "conf" / "model"
MODELS = {
    "linear": Linear,
    "mlp": MLP,
    "small_cnn": SmallCNN,
    "deep_cnn": DeepCNN,
    "resnet20": ResNet20,
    "whitened_cnn": WhitenedCNN,
}
SMALLEST = {
    "linear": 1, "mlp": 1, "small_cnn": 12, "deep_cnn": 8, "resnet20": 8, "whitened_cnn": 9,
}  # fmt: skip
CONVOLUTIONAL = ["small_cnn", "deep_cnn", "resnet20", "whitened_cnn"]
NORMALIZATIONS = {
    "mlp": ["none", "layer"],
    "small_cnn": ["none", "batch", "group", "layer"],
    "deep_cnn": ["none", "batch", "group", "layer"],
    "resnet20": ["batch", "group", "layer"],
}


def make(name, input_shape=(1, 16, 16), num_classes=5, *, seed=0, **options):
    torch.manual_seed(seed)
    narrow = {} if name == "linear" else {"width": 4}
    return MODELS[name](input_shape, num_classes, **{**narrow, **options})


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 56), (3, 32, 32), (3, 16, 19)])
def test_logits_and_gradients(name, shape):
    model = make(name, shape)
    images = torch.randn(3, *shape)
    logits = model(images)
    assert logits.shape == (3, 5)
    assert logits.dtype == torch.float32
    logits.square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert isinstance(model.output, nn.Linear)
    assert model.output.out_features == 5


@pytest.mark.parametrize("name", MODELS)
def test_the_last_layer_makes_the_logits(name):
    model = make(name).eval()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.arange(5.0))
    assert torch.equal(model(torch.randn(2, 1, 16, 16)), torch.arange(5.0).expand(2, 5))


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("linear", (1, 28, 28), 785 * 10),
        ("mlp", (1, 28, 28), 785 * 256 + 257 * 256 + 257 * 10),
        ("small_cnn", (1, 28, 28), 26 * 16 + (9 * 16 + 1) * 32 + (25 * 32 + 1) * 10),
        ("small_cnn", (3, 32, 32), 76 * 16 + (9 * 16 + 1) * 32 + (36 * 32 + 1) * 10),
        # Table 6 of He et al. 2016 says 0.27 million; the sum of its layers is this.
        ("resnet20", (3, 32, 32), 269_722),
        # Nine weights for each pair of channels, a bias for each channel of the norms.
        (
            "whitened_cnn",
            (3, 32, 32),
            24 + 9 * (64 * (24 + 64) + 256 * (64 + 3 * 256)) + 2 * (64 + 512) + 257 * 10,
        ),
    ],
)
def test_number_of_parameters(name, shape, expected):
    assert count(MODELS[name](shape, 10)) == expected


def test_depth_and_width():
    assert count(make("mlp", width=7, depth=1)) == 257 * 7 + 8 * 5
    assert count(make("mlp", width=7, depth=3)) == 257 * 7 + 2 * 8 * 7 + 8 * 5
    convolutions = [m for m in make("deep_cnn").modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [4, 4, 8, 8, 16, 16]
    layers = [m for m in make("resnet20").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20


def test_small_cnn_is_the_usual_order_of_layers():
    model = make("small_cnn").double()
    first, second = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    pool = nn.functional.max_pool2d
    expected = pool(second(pool(first(images).relu(), 2)).relu(), 2)
    torch.testing.assert_close(model.features(images), expected.flatten(1), rtol=0, atol=0)


def test_residual_block_adds_its_input():
    model = make("resnet20")
    block = next(m for m in model.features if hasattr(m, "residual") and m.stride == 2)
    for parameter in block.residual.parameters():
        nn.init.zeros_(parameter)
    features = torch.rand(2, 4, 8, 8)
    expected = torch.cat([features[:, :, ::2, ::2], torch.zeros(2, 4, 4, 4)], dim=1)
    assert torch.equal(block(features), expected)


@pytest.mark.parametrize("name", MODELS)
def test_output_scale_multiplies_the_initial_output_layer_alone(name):
    plain, scaled = make(name), make(name, output_scale=30.0)
    for (key, one), other in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        factor = 30.0 if key.startswith("output.") else 1.0
        assert torch.equal(factor * one, other)


@pytest.mark.parametrize("name", MODELS)
def test_output_bias_is_added_for_class_0_alone_after_the_scale(name):
    plain, moved = make(name, output_scale=3.0), make(name, output_scale=3.0, output_bias=5.0)
    plain.output.bias.data[0] += 5.0
    for one, other in zip(plain.parameters(), moved.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_the_weights(name):
    weights = [make(name, seed=seed).output.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_layout_in_memory_does_not_matter(name):
    model = make(name).double().eval()
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    expected = model(images)
    model.to(memory_format=torch.channels_last)
    last = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
    torch.testing.assert_close(model(last.permute(0, 3, 1, 2)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "normalization"), [(n, kind) for n, kinds in NORMALIZATIONS.items() for kind in kinds]
)
def test_a_last_batch_of_one_example_trains(name, normalization):
    size = max(SMALLEST[name], 8)
    model = make(name, (1, size, size), normalization=normalization).train()
    model(torch.randn(1, 1, size, size)).sum().backward()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {"output_scale": 0.0}, "output_scale=0.0; give") for name in MODELS),
        *((name, {"num_classes": 1}, "num_classes=1; give at least 2") for name in MODELS),
        *((name, {"width": 0}, "width=0; give") for name in MODELS if name != "linear"),
        *(
            (name, {"normalization": "spectral"}, "normalization='spectral'; .* one of .*layer")
            for name in NORMALIZATIONS
        ),
        ("mlp", {"normalization": "batch"}, "give one of none, layer"),
        ("mlp", {"depth": 0}, "depth=0; give 1 or more hidden layers"),
        ("resnet20", {"normalization": "none"}, "one of batch, group, layer"),
        ("linear", {"output_scale": float("inf")}, "output_scale=inf"),
        ("whitened_cnn", {"bias_rate": 0.0}, "bias_rate=0.0; give"),
        ("whitened_cnn", {"feature_scale": float("nan")}, "feature_scale=nan; give"),
        ("linear", {"output_bias": float("nan")}, "output_bias=nan; give a finite number"),
    ],
)
def test_arguments_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(28, 28), (0, 28, 28), (2, 1, 28, 28)])
def test_images_have_channels_height_and_width(name, shape):
    message = re.escape(f"input_shape={shape}; give (channels, height, width)")
    with pytest.raises(ValueError, match=message):
        make(name, shape)


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_image(name):
    smallest = SMALLEST[name]
    make(name, (1, smallest, smallest))(torch.zeros(2, 1, smallest, smallest))
    if name in CONVOLUTIONAL:
        with pytest.raises(ValueError, match=f"{name} needs images of at least {smallest}x"):
            make(name, (1, smallest, smallest - 1))


def test_every_model_has_a_config():
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == sorted(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_config_says_the_defaults(name):
    file = CONF / f"{name}.yaml"
    assert file.read_text().startswith("# ")
    model = instantiate(OmegaConf.load(file), input_shape=(1, 16, 16), num_classes=3)
    assert type(model) is MODELS[name]
    assert str(model) == str(MODELS[name]((1, 16, 16), 3))
