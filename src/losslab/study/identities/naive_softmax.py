"""S9: the logarithm of a softmax as it is written in the books, and as it must be computed."""

import math

import torch
from torch import Tensor

from losslab.losses import CrossEntropy
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.study.measure import Runs


def first_failure(
    runs: Runs,  # noqa: ARG001
    *,
    largest_gap: int,
) -> Measurement:
    """Raise one wrong logit until −log q_y is infinite or NaN, in float32 and float64.

    Logits (g, 0), the second class is the true one, g = 1, 2, ...; the right answer is about g.

    Args:
        runs: None are needed.
        largest_gap: The largest g.

    Returns:
        ``naive_single``, ``naive_double``: the first g at which exp(z)/Σ exp(z), then the
        logarithm, fails, infinity if none does; ``log_of_softmax_single``,
        ``log_of_softmax_double``: likewise for the logarithm of a softmax that is itself computed
        safely; ``safe_failures``: how many g fail for cross-entropy as the library computes it: not
        finite, or off by more than a millionth, or a gradient that is not finite, in both types.
    """
    gaps = torch.arange(1, largest_gap + 1)
    firsts = {}
    for name, kind in (("single", torch.float32), ("double", torch.float64)):
        logits = torch.stack([gaps, torch.zeros_like(gaps)], dim=1).to(kind)
        firsts[f"naive_{name}"] = _first(-_naive(logits)[:, 1].log())
        firsts[f"log_of_softmax_{name}"] = _first(-logits.softmax(1)[:, 1].log())
    failures = 0
    for kind in (torch.float32, torch.float64):
        logits = torch.stack([gaps, torch.zeros_like(gaps)], dim=1).to(kind).requires_grad_()
        values = CrossEntropy(reduction="none")(logits, torch.ones_like(gaps))
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        exact = gaps.double() + torch.log1p(torch.exp(-gaps.double()))
        right = ((values.double() - exact).abs() <= 1e-6 * exact) & gradient.isfinite().all(1)
        failures += int((~right).sum())
    names = {
        "naive": "log(exp(z_y)/Σ exp(z))",
        "log_of_softmax": "log(softmax(z)_y), softmax shifted by the maximum",
    }
    quantities = {
        name: Quantity(
            value=first,
            n=1,
            what=f"first gap of the logits at which {names[name.rpartition('_')[0]]} is infinite "
            f"or NaN, {name.rpartition('_')[2]} precision",
        )
        for name, first in firsts.items()
    }
    quantities["safe_failures"] = Quantity(
        value=float(failures),
        n=2 * largest_gap,
        what=f"gaps up to {largest_gap} at which cross-entropy is wrong or its gradient not finite",
    )
    return Measurement(
        quantities=quantities,
        tables=[
            TableOfNumbers(
                title="First gap of the logits at which −log q_y is infinite or NaN",
                columns=["computed as", "float32", "float64"],
                rows=[
                    [
                        text,
                        *(f"{firsts[f'{name}_{kind}']:g}" for kind in ("single", "double")),
                    ]
                    for name, text in names.items()
                ],
            )
        ],
    )


def _naive(logits: Tensor) -> Tensor:
    exponentials = logits.exp()
    return exponentials / exponentials.sum(1, keepdim=True)


def _first(values: Tensor) -> float:
    failed = (~values.isfinite()).nonzero()
    return math.inf if len(failed) == 0 else float(failed[0]) + 1
