"""Every choice on a GPU, and each engine against the eager one there.

pytest -m gpu -n 0
"""

import os

import pytest
import torch

from running import CHOICES, TINY, records, results

# Another device only to try these tests where there is no GPU.
DEVICE = os.environ.get("LOSSLAB_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"
    ),
]
RUN = (*TINY, "model=small_cnn", f"trainer.device={DEVICE}")


def only(losslab, name):
    (run,) = losslab.runs(name)
    return run


@pytest.mark.parametrize("choice", CHOICES)
def test_graph_gives_the_bits_of_eager(losslab, choice):
    for engine in ("eager", "graph"):
        losslab.train(*RUN, choice, f"trainer.engine={engine}", f"name={engine}")
    one, other = only(losslab, "eager"), only(losslab, "graph")
    assert results(one) == results(other)
    assert DEVICE != "cuda" or "no CUDA graph" not in (other / "log.txt").read_text()


def test_a_recipe_in_bfloat16_is_replayed(losslab):
    words = ("+recipe=cifar10_fast", *TINY[:1], *TINY[2:4], "model.width=2")
    for engine in ("eager", "graph"):
        losslab.train(
            *words, f"trainer.device={DEVICE}", f"trainer.engine={engine}", f"name={engine}"
        )
    one, other = only(losslab, "eager"), only(losslab, "graph")
    assert results(one) == results(other)
    assert DEVICE != "cuda" or "no CUDA graph" not in (other / "log.txt").read_text()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    "model", ["linear", "mlp", "small_cnn", "deep_cnn", "resnet20", "whitened_cnn"]
)
def test_a_stack_agrees_with_eager_to_rounding(losslab, model, optimizer):
    words = (*TINY, f"model={model}", f"optimizer={optimizer}", f"trainer.device={DEVICE}")
    words += ("optimizer.lr=0.001", "optimizer.weight_decay=0", "trainer.steps=5")
    words += ("loss=cross_entropy,mse,brier,map_gaussian", "seed=0,1", "diagnostics=none")
    for engine in ("eager", "stacked"):
        losslab.sweep(*words, f"trainer.engine={engine}", f"name={engine}")
    for one, other in zip(losslab.runs("eager"), losslab.runs("stacked"), strict=True):
        for before, after in zip(records(one), records(other), strict=True):
            for tag in ("train/objective", "val/nll", "optim/weight_norm"):
                if tag in before:
                    assert after[tag] == pytest.approx(before[tag], rel=1e-3, abs=1e-4)


def test_a_sweep_stacks_by_itself_and_repeats_to_the_bit(losslab):
    words = (*RUN, "loss=cross_entropy,mse", "seed=0,1,2")
    for name in ("once", "again"):
        losslab.sweep(*words, f"name={name}")
    for one, other in zip(losslab.runs("once"), losslab.runs("again"), strict=True):
        assert results(one) == results(other)
        assert DEVICE != "cuda" or "engine: stacked" in (one / "config.yaml").read_text()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_precision_is_what_it_says(losslab, precision):
    losslab.train(*RUN, f"trainer.precision={precision}")
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
