"""Every choice of loss= makes the loss that it names."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cases import LOSSES, draw
from losslab import losses

FOLDER = Path(__file__).parents[2] / "conf" / "loss"
LOGITS, LABELS = draw()
CROSS_ENTROPY = losses.CrossEntropy()

EXPECTED = {
    "cross_entropy": CROSS_ENTROPY,
    "label_smoothing": losses.CrossEntropy(0.1),
    "kl_divergence": losses.KLDivergence(),
    "nll": losses.NegativeLogLikelihood(),
    "mse": losses.SquaredError("none", "mean"),
    "mse_softmax": losses.SquaredError("softmax", "mean"),
    "brier": losses.SquaredError("softmax", "sum"),
    "mse_sigmoid": losses.SquaredError("sigmoid", "mean"),
    "rescaled_mse": losses.SquaredError("none", "mean"),
    "mse_one_sided": losses.SquaredError("none", "mean", one_sided=True),
    "map_gaussian": losses.MAP(CROSS_ENTROPY, losses.GaussianPrior(1.0), 100),
    "map_laplace": losses.MAP(CROSS_ENTROPY, losses.LaplacePrior(1.0), 100),
    "multiclass_hinge": losses.MulticlassHinge(),
    "mean_absolute_error": losses.MeanAbsoluteError(),
    "generalized_cross_entropy": losses.GeneralizedCrossEntropy(0.7),
    "focal": losses.Focal(2.0),
    "poly_loss": losses.PolyLoss(1.0),
    "symmetric_cross_entropy": losses.SymmetricCrossEntropy(0.1, 1.0, -4.0),
    "taylor_cross_entropy": losses.TaylorCrossEntropy(2),
    "bi_tempered": losses.BiTempered(0.8, 1.2),
    "logit_normalization": losses.LogitNormalization(0.04),
    "binary_cross_entropy": losses.BinaryCrossEntropy(),
    "squentropy": losses.Squentropy(),
    "gradient_swap": losses.GradientSwap(relative="mse_softmax"),
    "unnormalized_cross_entropy": losses.UnnormalizedCrossEntropy("exp"),
}


def test_every_config_is_expected():
    choices = {path.stem for path in FOLDER.glob("*.yaml")}
    assert choices == set(EXPECTED), "add a line to EXPECTED above"


def test_every_loss_has_a_case():
    apart = {losses.MAP, losses.GradientSwap}  # which have tests of their own
    made = {type(case.make()) for case in LOSSES}
    absent = {type(loss).__name__ for loss in EXPECTED.values() if type(loss) not in made | apart}
    assert absent == set(), "add a LossCase to tests/cases.py"


@pytest.mark.parametrize("name", EXPECTED)
def test_config(name):
    path = FOLDER / f"{name}.yaml"
    assert path.read_text(encoding="utf-8").startswith("# ")
    config = OmegaConf.load(path)
    expected = EXPECTED[name]
    assert OmegaConf.is_missing(config, "num_train") == isinstance(expected, losses.MAP)
    if isinstance(expected, losses.MAP):
        config.num_train = 100
    loss = instantiate(config)
    assert repr(loss) == repr(expected)
    if not isinstance(expected, losses.MAP):
        assert torch.equal(loss(LOGITS, LABELS), expected(LOGITS, LABELS))


@pytest.mark.parametrize(
    "name",
    [
        *("generalized_cross_entropy", "focal", "poly_loss", "symmetric_cross_entropy"),
        *("taylor_cross_entropy", "bi_tempered", "logit_normalization"),
    ],
)
def test_without_arguments_class_and_function_are_the_choice(name):
    expected = EXPECTED[name].per_example(LOGITS, LABELS)
    assert torch.equal(type(EXPECTED[name])().per_example(LOGITS, LABELS), expected)
    assert torch.equal(getattr(losses.functional, name)(LOGITS, LABELS), expected)
