"""Initial weights: of the seed alone, or also of training images (``initialize_from``)."""

import pytest
import torch
from safetensors.torch import load_file

from losslab import load_model
from losslab.data import load
from losslab.experiment import Composer
from losslab.experiment.build import build
from losslab.experiment.compose import without_hydra
from losslab.models.whitened import Whitening
from running import read, results

WORDS = ("model=whitened_cnn", "model.width=2")
WEIGHT = "features.body.0.weight"


def test_initial_weights_depend_on_the_seed_and_on_nothing_else():
    def weights(config, seed):
        torch.rand(1)  # whatever was drawn before
        config.seed = seed
        return build(config).model.output.weight

    words = ["data=synthetic", "model=linear"]
    with Composer() as composer:
        one, other = (
            without_hydra(composer.compose([*words, f"loss={loss}"])) for loss in ("focal", "mse")
        )
    assert torch.equal(weights(one, 0), weights(other, 0))
    assert not torch.allclose(weights(one, 0), weights(one, 1), rtol=0.1)


def test_the_whitening_comes_from_the_training_images_as_the_model_sees_them(losslab):
    run = losslab.run(*WORDS, "trainer.steps=2", "data.label_noise=0.25")
    layer = Whitening(1)
    layer.initialize_from(load("synthetic").tensors("train")[0])
    found = load_file(run / "model.safetensors")[WEIGHT]
    torch.testing.assert_close(found, layer.weight, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, Whitening(1).weight, atol=0.1)


@pytest.mark.slow
def test_a_stacked_or_loaded_model_has_the_same(losslab):
    run = losslab.run(*WORDS)
    for more in ("trainer.threads=2", "trainer.engine=stacked"):
        other = losslab.run(*WORDS, more)
        weights = [load_file(each / "model.safetensors") for each in (run, other)]
        assert torch.equal(weights[0][WEIGHT], weights[1][WEIGHT])
    assert "test" in losslab.call("evaluate", str(run)).out
    saved = load_model(run)
    images, labels = load("synthetic").test.images, load("synthetic").test.labels
    accuracy = (saved(images).argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(read(run / "summary.json")["test/accuracy"])
    again = losslab.run(*WORDS)
    assert results(run) == results(again)


def test_a_warm_start_keeps_the_weights_that_it_is_given(losslab):
    run = losslab.run(*WORDS, "trainer.steps=1")
    other = losslab.run(*WORDS, f"init_from='{run}'", "trainer.steps=1", "data.source.seed=5")
    weights = [load_file(each / "model.safetensors")[WEIGHT] for each in (run, other)]
    assert torch.equal(*weights)


FAILING = """
from torch import nn


class Mine(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.output = nn.Linear(256, num_classes)

    def forward(self, images):
        return self.output(images.flatten(1))

    def initialize_from(self, images):
        assert images.shape == (384, 1, 16, 16) and abs(images.mean()) < 1e-4
        raise RuntimeError("no such thing")
"""


def test_a_custom_model_is_shown_them_too_and_may_fail(losslab):
    (losslab.folder / "my_model.py").write_text(FAILING)
    words = ("data=synthetic", "model=linear", "model._target_=my_model.Mine")
    keys = ("~model.output_scale", "~model.output_bias")
    code, out, err = losslab.call("train", *words, *keys)
    assert (code, out) == (2, "")
    assert err == "losslab: model: its initialize_from fails (RuntimeError: no such thing)\n"
    assert not (losslab.folder / "outputs").exists()
