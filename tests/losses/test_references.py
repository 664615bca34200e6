"""Single losses against torch, SciPy and scikit-learn, and the limits that join them."""

import math

import pytest
import scipy.special
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torch import nn
from torch.testing import assert_close

from cases import draw, one_hot
from losslab import losses

LOGITS, LABELS = draw()
SOFT_TARGET = draw(soft=True)[1]
ONE_HOT = one_hot(LABELS, 5)
CLASSES = list(range(5))
TRUE_LOGITS = LOGITS[torch.arange(7), LABELS]


def agree(loss, target, reference, **tolerance):
    """Hold that value and gradient of the mean loss are those of ``reference(logits)``."""
    mine, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    value, expected = loss(mine, target), reference(theirs)
    assert_close(value, expected, **tolerance)
    value.backward()
    expected.backward()
    assert_close(mine.grad, theirs.grad, **tolerance)


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.9])
def test_cross_entropy_is_torchs(target, epsilon):
    agree(
        losses.CrossEntropy(label_smoothing=epsilon),
        target,
        lambda z: nn.CrossEntropyLoss(label_smoothing=epsilon)(z, target),
    )


def test_negative_log_likelihood_is_torchs_after_log_softmax():
    agree(losses.NegativeLogLikelihood(), LABELS, lambda z: nn.NLLLoss()(z.log_softmax(1), LABELS))


def test_kl_divergence_is_torchs_and_scipys():
    reference = nn.KLDivLoss(reduction="batchmean")
    agree(losses.KLDivergence(), SOFT_TARGET, lambda z: reference(z.log_softmax(1), SOFT_TARGET))
    softmax = scipy.special.softmax(LOGITS.numpy(), axis=1)
    expected = scipy.special.rel_entr(SOFT_TARGET.numpy(), softmax).sum(1)
    value = losses.KLDivergence(reduction="none")(LOGITS, SOFT_TARGET)
    assert_close(value, torch.from_numpy(expected))


def test_cross_entropy_and_brier_are_scikit_learns():
    probabilities = scipy.special.softmax(LOGITS.numpy(), axis=1)
    assert losses.CrossEntropy()(LOGITS, LABELS).item() == pytest.approx(
        log_loss(LABELS.numpy(), probabilities, labels=CLASSES)
    )
    brier = brier_score_loss(LABELS.numpy(), probabilities, labels=CLASSES, scale_by_half=False)
    value = losses.SquaredError("softmax", "sum")(LOGITS, LABELS).item()
    assert value == pytest.approx(brier)


@pytest.mark.parametrize(
    ("activation", "apply"),
    [("none", lambda z: z), ("sigmoid", torch.sigmoid), ("softmax", lambda z: z.softmax(1))],
)
@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
def test_squared_error_is_torchs(activation, apply, target):
    distribution = ONE_HOT if target.dim() == 1 else target
    agree(
        losses.SquaredError(activation),
        target,
        lambda z: nn.MSELoss()(apply(z), distribution),
    )


def test_rescaled_squared_error_is_hui_and_belkins_formula():
    k, m = 15.0, 30.0
    loss = losses.SquaredError("none", true_class_weight=k, true_class_target=m, reduction="none")
    wrong = (LOGITS.square().sum(1)) - TRUE_LOGITS.square()
    assert_close(loss(LOGITS, LABELS), (k * (TRUE_LOGITS - m).square() + wrong) / 5)


@pytest.mark.parametrize("m", [1.0, 30.0])
def test_one_sided_squared_error_is_the_squared_hinge_of_every_class_against_the_rest(m):
    loss = losses.SquaredError("none", "sum", true_class_target=m, one_sided=True)

    def support_vector_machines(z):
        return (1 - (2 * ONE_HOT - 1) * (2 * z / m - 1)).relu().square().sum(1).mean()

    agree(loss, LABELS, lambda z: m**2 / 4 * support_vector_machines(z))


def test_one_sided_squared_error_is_the_two_sided_less_the_overshoot():
    one, both = (losses.SquaredError("none", "sum", one_sided=one) for one in (True, False))
    overshoot = (TRUE_LOGITS - 1).relu().square().sum()
    overshoot += ((1 - ONE_HOT) * (-LOGITS).relu().square()).sum()
    assert overshoot > 1
    assert_close(both(LOGITS, LABELS) - one(LOGITS, LABELS), overshoot / 7)


def test_hinge_is_torchs_times_the_number_of_classes():
    agree(losses.MulticlassHinge(), LABELS, lambda z: 5 * nn.MultiMarginLoss()(z, LABELS))


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
def test_absolute_error_is_torchs_summed_over_classes(target):
    distribution = ONE_HOT if target.dim() == 1 else target
    agree(
        losses.MeanAbsoluteError(),
        target,
        lambda z: 5 * nn.L1Loss()(z.softmax(1), distribution),
    )


def test_absolute_error_summed_over_all_labels_is_constant():
    loss = losses.MeanAbsoluteError(reduction="none")
    total = sum(loss(LOGITS, torch.full((7,), label)) for label in CLASSES)
    assert_close(total, torch.full((7,), 8.0, dtype=torch.float64))


def test_unnormalized_sigmoid_is_torchs_binary_loss_without_its_negatives():
    reference = nn.BCEWithLogitsLoss(reduction="sum")
    agree(
        losses.UnnormalizedCrossEntropy("sigmoid"),
        LABELS,
        lambda z: reference(z[torch.arange(7), LABELS], torch.ones(7).double()) / 7,
    )


def test_unnormalized_exp_has_no_minimum():
    loss = losses.UnnormalizedCrossEntropy("exp")
    values = [loss(torch.full((1, 3), scale), torch.tensor([0])) for scale in (1.0, 1e3, 1e6)]
    assert values == [-1.0, -1e3, -1e6]


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
def test_limits(target):
    cross_entropy = losses.CrossEntropy()
    agree(losses.Focal(0.0), target, lambda z: cross_entropy(z, target))
    agree(
        losses.GeneralizedCrossEntropy(1e-9),
        target,
        lambda z: cross_entropy(z, target),
        rtol=1e-7,
        atol=1e-7,
    )
    agree(
        losses.SquaredError("none", true_class_weight=1.0, true_class_target=1.0),
        target,
        lambda z: losses.SquaredError("none")(z, target),
    )


def test_generalized_cross_entropy_at_one_is_half_the_absolute_error():
    agree(
        losses.GeneralizedCrossEntropy(1.0),
        LABELS,
        lambda z: losses.MeanAbsoluteError()(z, LABELS) / 2,
    )


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
def test_binary_cross_entropy_is_torchs_times_the_number_of_classes(target):
    distribution = ONE_HOT if target.dim() == 1 else target
    reference = nn.BCEWithLogitsLoss()
    agree(losses.BinaryCrossEntropy(), target, lambda z: 5 * reference(z, distribution))


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
@pytest.mark.parametrize(
    ("loss", "tolerance"),
    [
        (losses.PolyLoss(0.0), 1e-12),
        (losses.TaylorCrossEntropy(20_000), 1e-2),
        (losses.SymmetricCrossEntropy(1.0, 1e-12), 1e-9),
    ],
    ids=repr,
)
def test_limits_are_cross_entropy(loss, tolerance, target):
    cross_entropy = losses.CrossEntropy()
    agree(loss, target, lambda z: cross_entropy(z, target), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
def test_the_limit_of_bi_tempered_is_the_divergence(target):
    kl, tolerance = losses.KLDivergence(), {"rtol": 1e-7, "atol": 1e-7}
    agree(losses.BiTempered(1 - 1e-9, 1 + 1e-9), target, lambda z: kl(z, target), **tolerance)


def test_normalized_logits_are_cross_entropys_of_unit_vectors_and_have_no_length():
    unit = nn.functional.normalize
    reference = nn.CrossEntropyLoss()
    loss = losses.LogitNormalization(0.5)
    agree(loss, LABELS, lambda z: reference(unit(z, dim=1) / 0.5, LABELS))
    assert_close(loss(10 * LOGITS, LABELS), loss(LOGITS, LABELS))
    zero = torch.zeros(1, 3, requires_grad=True)
    loss(zero, torch.tensor([0])).backward()
    assert_close(zero.grad, torch.tensor([[-4 / 3, 2 / 3, 2 / 3]]))


@pytest.mark.parametrize("t2", [1.001, 1.2, 2.0, 4.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
def test_tempered_probabilities_sum_to_one(t2, scale):
    """Where p meets a soft target the divergence is 0 and its gradient too."""
    logits, _ = draw(num_classes=1000, scale=scale)
    log_p = losses.functional._tempered_log_softmax(logits, t2)
    assert_close(log_p.exp().sum(1), torch.ones(7).double(), rtol=0, atol=1e-12)
    values = losses.BiTempered(0.5, t2, reduction="none")(logits, log_p.exp())
    assert_close(values, torch.zeros(7).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradient_where_the_network_is_certain(gamma):
    logits = torch.tensor([[200.0, 0.0], [20.0, 0.0]], requires_grad=True)
    losses.Focal(gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad.abs().max() < 1e-6


def test_the_three_names_of_cross_entropy_have_one_gradient_to_the_bit():
    def gradient(loss, target):
        logits = LOGITS.float().requires_grad_()
        return torch.autograd.grad(loss(logits, target), logits)[0]

    cross_entropy, kl, nll = (
        losses.CrossEntropy(),
        losses.KLDivergence(),
        losses.NegativeLogLikelihood(),
    )
    for target in (LABELS, SOFT_TARGET.float()):
        assert torch.equal(gradient(kl, target), gradient(cross_entropy, target))
        assert torch.equal(gradient(nll, target), gradient(cross_entropy, target))
    assert torch.equal(kl(LOGITS, LABELS), cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("target", [LABELS, SOFT_TARGET], ids=["labels", "soft"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_decomposition_adds_up(target, epsilon):
    parts = losses.CrossEntropy(epsilon).decompose(LOGITS, target)
    assert_close(parts.cross_entropy, parts.entropy + parts.kl_divergence)
    distribution = ONE_HOT if target.dim() == 1 else target
    smoothed = (1 - epsilon) * distribution + epsilon / 5
    assert_close(parts.entropy, losses.entropy(smoothed))
    assert_close(parts.kl_divergence, losses.kl_divergence(smoothed, LOGITS.softmax(1)))


@pytest.mark.parametrize(
    ("loss", "logits"),
    [
        (losses.KLDivergence(reduction="none"), SOFT_TARGET.log()),
        (losses.MeanAbsoluteError(reduction="none"), SOFT_TARGET.log()),
        (losses.SquaredError("softmax", reduction="none"), SOFT_TARGET.log()),
        (losses.SquaredError("sigmoid", reduction="none"), SOFT_TARGET.logit()),
        (losses.SquaredError("none", reduction="none"), SOFT_TARGET),
    ],
    ids=str,
)
def test_nothing_is_left_where_a_soft_target_is_met(loss, logits):
    assert_close(loss(logits, SOFT_TARGET), torch.zeros(7).double(), rtol=0, atol=1e-14)


def test_cross_entropy_of_a_soft_target_that_is_met_is_its_entropy():
    value = losses.CrossEntropy(reduction="none")(SOFT_TARGET.log(), SOFT_TARGET)
    assert_close(value, losses.entropy(SOFT_TARGET))


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_at_zero_logits_the_gradient_of_cross_entropy_is_larger_by_half_the_square_of_k(
    num_classes,
):
    def norm(loss):
        logits = torch.zeros(1, num_classes, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(loss(logits, torch.tensor([0])), logits)[0].norm()

    ratio = norm(losses.CrossEntropy()) / norm(losses.SquaredError("softmax", "mean"))
    assert ratio.item() == pytest.approx(num_classes**2 / 2)


@pytest.mark.parametrize(("probability", "concave"), [(0.30, True), (0.33, True), (0.34, False)])
def test_two_class_squared_error_is_concave_below_a_third(probability, concave):
    score = torch.tensor(math.log(probability / (1 - probability)), dtype=torch.float64)
    loss = losses.SquaredError("softmax", "sum")

    def along(value):
        return loss(torch.stack([value, torch.zeros_like(value)])[None], torch.tensor([0]))

    assert (torch.autograd.functional.hessian(along, score) < 0).item() == concave


def test_raw_squared_error_has_curvature_two_over_k_everywhere():
    loss = losses.SquaredError("none", "mean")
    for row in LOGITS:
        hessian = torch.autograd.functional.hessian(lambda z: loss(z[None], LABELS[:1]), row)
        assert_close(hessian, 2 / 5 * torch.eye(5, dtype=torch.float64))


def test_brier_splits_into_gap_and_spread_of_the_target():
    """Squared error to a drawn label is that to its distribution plus a constant: proper."""
    loss = losses.SquaredError("softmax", "sum", reduction="none")
    drawn = sum(SOFT_TARGET[:, label] * loss(LOGITS, torch.full((7,), label)) for label in CLASSES)
    spread = 1 - SOFT_TARGET.square().sum(1)
    assert_close(drawn, loss(LOGITS, SOFT_TARGET) + spread)
