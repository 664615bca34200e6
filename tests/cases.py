"""One table of what is tested alike. A loss added here gets every test of tests/losses."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from by_hand import (
    Row,
    directed,
    expected,
    focal_weight,
    gradient_bi_tempered,
    gradient_cross_entropy,
    gradient_directed,
    gradient_hinge,
    gradient_squared,
    gradient_symmetric,
    gradient_weighted,
    log_softmax,
    naive_bi_tempered,
    naive_binary,
    naive_cross_entropy,
    naive_hinge,
    naive_kl,
    naive_squared,
    naive_squentropy,
    naive_symmetric,
    sigmoid,
    softmax,
    through_softmax,
)
from losslab import losses


@dataclass(frozen=True)
class LossCase:
    """A loss, its definition in plain Python, and what its docstring promises."""

    name: str
    make: Callable[..., losses.Loss]
    naive: Callable[[Row, Row], float]  # logits and target distribution of one example
    gradient: Callable[[Tensor, Tensor], Tensor]  # (N, K), (N, K) -> (N, K): the docstring's
    convex: bool
    perfect: tuple[float, float] | None  # logit of the true class, of the others: the loss is 0
    upper: Callable[[int], float] | None = None  # bound for K classes and one-hot targets
    lower: float = 0.0
    soft: bool = True
    shift_invariant: bool = True

    def __str__(self) -> str:
        return self.name


def squared(
    name: str,
    activation: str,
    reduction: str,
    k: float = 1.0,
    m: float = 1.0,
    *,
    one_sided: bool = False,
) -> LossCase:
    mean = reduction == "mean"
    # A convex function of the scores is greatest at a corner of where they can lie.
    bounds = {
        "softmax": lambda K: max(1 + k * m**2, k * (1 - m) ** 2),
        "sigmoid": lambda K: K - 1 + k * max(m**2, (1 - m) ** 2),
        "none": None,
    }
    bound = bounds[activation]
    return LossCase(
        name,
        partial(
            losses.SquaredError,
            activation,
            reduction,
            true_class_weight=k,
            true_class_target=m,
            one_sided=one_sided,
        ),
        naive_squared(
            {"softmax": softmax, "sigmoid": sigmoid, "none": list}[activation],
            mean,
            k,
            m,
            one_sided,
        ),
        gradient_squared(activation, mean, k, m, one_sided),
        convex=activation == "none",
        perfect={"none": (m, 0.0)}.get(activation, (60.0, -60.0) if m == 1 else None),
        upper=bound and (lambda K: bound(K) / (K if mean else 1)),
        soft=not one_sided,
        shift_invariant=activation == "softmax",
    )


def generalized(q: float) -> LossCase:
    return LossCase(
        f"generalized_cross_entropy q={q:g}",
        partial(losses.GeneralizedCrossEntropy, q),
        expected(lambda z, i: (1 - softmax(z)[i] ** q) / q),
        gradient_weighted(lambda p: p**q),
        convex=False,
        perfect=(60.0, -60.0),
        upper=lambda K: 1 / q,
    )


def focal(gamma: float) -> LossCase:
    return LossCase(
        f"focal gamma={gamma:g}",
        partial(losses.Focal, gamma),
        expected(lambda z, i: -((1 - softmax(z)[i]) ** gamma) * log_softmax(z)[i]),
        gradient_weighted(partial(focal_weight, gamma=gamma)),
        convex=False,
        perfect=(60.0, -60.0),
    )


def poly(epsilon: float) -> LossCase:
    return LossCase(
        f"poly_loss epsilon={epsilon:g}",
        partial(losses.PolyLoss, epsilon),
        expected(lambda z, i: epsilon * (1 - softmax(z)[i]) - log_softmax(z)[i]),
        gradient_weighted(lambda p: 1 + epsilon * p),
        convex=epsilon <= 1,
        perfect=(60.0, -60.0),
    )


def taylor(order: int) -> LossCase:
    terms = range(1, order + 1)
    return LossCase(
        f"taylor_cross_entropy order={order}",
        partial(losses.TaylorCrossEntropy, order),
        expected(lambda z, i: sum((1 - softmax(z)[i]) ** n / n for n in terms)),
        gradient_weighted(lambda p: 1 - (1 - p) ** order),
        convex=False,
        perfect=(60.0, -60.0),
        upper=lambda K: sum(1 / n for n in terms),
    )


def symmetric(alpha: float, beta: float, floor: float) -> LossCase:
    return LossCase(
        f"symmetric_cross_entropy alpha={alpha:g}",
        partial(losses.SymmetricCrossEntropy, alpha, beta, floor),
        partial(naive_symmetric, alpha=alpha, beta=beta, floor=floor),
        gradient_symmetric(alpha, beta, floor),
        convex=False,
        perfect=(60.0, -60.0),
    )


LOSSES = (
    LossCase(
        "cross_entropy",
        losses.CrossEntropy,
        naive_cross_entropy,
        gradient_cross_entropy,
        convex=True,
        perfect=(60.0, -60.0),
    ),
    LossCase(
        "label_smoothing",
        partial(losses.CrossEntropy, 0.1),
        partial(naive_cross_entropy, epsilon=0.1),
        partial(gradient_cross_entropy, epsilon=0.1),
        convex=True,
        perfect=None,
    ),
    LossCase(
        "kl_divergence",
        losses.KLDivergence,
        naive_kl,
        gradient_cross_entropy,
        convex=True,
        perfect=(60.0, -60.0),
    ),
    LossCase(
        "nll",
        losses.NegativeLogLikelihood,
        expected(lambda z, i: -log_softmax(z)[i]),
        gradient_cross_entropy,
        convex=True,
        perfect=(60.0, -60.0),
    ),
    squared("mse", "none", "mean"),
    squared("mse_softmax", "softmax", "mean"),
    squared("brier", "softmax", "sum"),
    squared("mse_sigmoid", "sigmoid", "mean"),
    squared("rescaled_mse", "none", "mean", k=15.0, m=30.0),
    squared("mse_one_sided", "none", "mean", one_sided=True),
    squared("one-sided k=15 M=30", "none", "sum", k=15.0, m=30.0, one_sided=True),
    squared("softmax k=0.5 M=2", "softmax", "sum", k=0.5, m=2.0),
    LossCase(
        "mean_absolute_error",
        losses.MeanAbsoluteError,
        lambda z, y: sum(abs(pi - yi) for pi, yi in zip(softmax(z), y, strict=True)),
        lambda z, y: through_softmax(z.softmax(1), (z.softmax(1) - y).sign()),
        convex=False,
        perfect=(60.0, -60.0),
        upper=lambda K: 2.0,
    ),
    generalized(0.7),
    generalized(1.0),
    focal(2.0),
    focal(0.5),
    LossCase(
        "multiclass_hinge",
        losses.MulticlassHinge,
        expected(naive_hinge),
        gradient_hinge,
        convex=True,
        perfect=(1.5, 0.0),
        soft=False,
    ),
    LossCase(
        "squentropy",
        losses.Squentropy,
        expected(naive_squentropy),
        lambda z, y: z.softmax(1) - y + 2 * (1 - y) * z / (z.shape[1] - 1),
        convex=True,
        perfect=(60.0, 0.0),
        shift_invariant=False,
    ),
    LossCase(
        "unnormalized exp",
        losses.UnnormalizedCrossEntropy,
        expected(lambda z, i: -z[i]),
        lambda z, y: -y,
        convex=True,
        perfect=None,
        lower=-math.inf,
        shift_invariant=False,
    ),
    LossCase(
        "unnormalized sigmoid",
        partial(losses.UnnormalizedCrossEntropy, "sigmoid"),
        expected(lambda z, i: -math.log(sigmoid(z)[i])),
        lambda z, y: -y * (1 - z.sigmoid()),
        convex=True,
        perfect=(60.0, 60.0),  # every class at once: nothing asks the others to be low
        shift_invariant=False,
    ),
    LossCase(
        "binary_cross_entropy",
        losses.BinaryCrossEntropy,
        naive_binary,
        lambda z, y: z.sigmoid() - y,
        convex=True,
        perfect=(60.0, -60.0),
        shift_invariant=False,
    ),
    LossCase(
        "logit_normalization",
        losses.LogitNormalization,
        lambda z, y: naive_cross_entropy(directed(z, 0.04), y),
        gradient_directed(0.04),
        convex=False,
        perfect=None,
        shift_invariant=False,
    ),
    poly(1.0),
    poly(2.0),
    symmetric(0.5, 2.0, -3.0),
    taylor(1),
    taylor(3),
    LossCase(
        "bi_tempered",
        partial(losses.BiTempered, 0.5, 1.2),
        naive_bi_tempered(0.5, 1.2),
        gradient_bi_tempered(0.5, 1.2),
        convex=False,
        perfect=None,
        upper=lambda K: 2.0,
    ),
)


def draw(
    *, num_examples: int = 7, num_classes: int = 5, scale: float = 3.0, soft: bool = False
) -> tuple[Tensor, Tensor]:
    """Return float64 logits ``(N, K)`` and labels ``(N,)`` or distributions ``(N, K)``."""
    source = torch.Generator().manual_seed(num_examples + num_classes)
    kwargs = {"generator": source, "dtype": torch.float64}
    logits = scale * torch.randn(num_examples, num_classes, **kwargs)
    if soft:
        return logits, torch.randn(num_examples, num_classes, **kwargs).softmax(1)
    return logits, torch.randint(num_classes, (num_examples,), generator=source)


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return labels ``(N,)`` as float64 distributions ``(N, K)``."""
    return torch.nn.functional.one_hot(labels, num_classes).double()


def gradient(case: LossCase, logits: Tensor, target: Tensor) -> Tensor:
    """Return the gradient ``(N, K)`` of the sum of the losses with respect to the logits."""
    logits = logits.clone().requires_grad_()
    (result,) = torch.autograd.grad(case.make(reduction="sum")(logits, target), logits)
    return result
