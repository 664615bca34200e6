"""The objective of training: the mean likelihood term plus the prior, once per data set."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any, NamedTuple

from torch import Tensor, nn

from losslab.losses.base import Loss, Reduction, check_choice, reduce
from losslab.losses.priors import FlatPrior, Prior


class Terms(NamedTuple):
    """The terms of the objective, to minimise and to record.

    Attributes:
        per_example: ``(N,)`` likelihood term of each example.
        likelihood: ``()`` its mean over the batch.
        prior: ``()`` the prior's penalty divided by the number of training examples.
        total: ``()`` likelihood + prior.
    """

    per_example: Tensor
    likelihood: Tensor
    prior: Tensor
    total: Tensor


class MAP(nn.Module):
    """Maximum a posteriori: mean_i l_i + prior(W)/N, N the number of training examples.

    The posterior is proportional to likelihood times prior, so minus its logarithm is
    Σ_i l_i − log g(W); divided by N it is the mean loss plus the penalty over N. N is the size of
    the training set, never of the batch: the prior counts once per data set. Do not give the
    optimizer a ``weight_decay`` as well: the prior would count twice.

    W are the ``parameters`` that are passed, the model's weights. A likelihood's own parameters
    (a temperature, say) are trained with the model, but are not part of W: neither the prior nor
    losslab's weight decay acts on them.

    Args:
        likelihood: A :class:`Loss`, whose own ``reduction`` is not used, or any module
            that gives ``(N,)``, such as ``nn.CrossEntropyLoss(reduction="none")``; or a function.
        prior: A prior of this library, or any function from parameters to a scalar tensor.
        num_train: N ≥ 1, the number of training examples.
        reduction: Acts on l_i + prior(W)/N: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ValueError: ``num_train`` is not an integer ≥ 1, ``likelihood`` or ``prior`` not a function,
            or ``likelihood`` reduces by itself.

    Source: Bishop 2006, *Pattern Recognition and Machine Learning*, §3.3 and §5.5.

    >>> import torch
    >>> from losslab.losses import CrossEntropy, GaussianPrior
    >>> objective = MAP(CrossEntropy(), GaussianPrior(std=1.0), num_train=100)
    >>> weights = [torch.tensor([3.0, 4.0])]
    >>> terms = objective.terms(torch.zeros(2, 2), torch.tensor([0, 1]), weights)
    >>> terms.likelihood, terms.prior, terms.total  # log 2, 25/2/100, their sum
    (tensor(0.6931), tensor(0.1250), tensor(0.8181))
    """

    def __init__(
        self, likelihood: nn.Module, prior: Prior, num_train: int, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        # True is an integer to Python; a caller's 4000.0 or "4000" is none, numpy's integers are.
        whole = isinstance(num_train, Integral) and not isinstance(num_train, bool)
        if not whole or num_train < 1:
            raise ValueError(
                f"num_train is {num_train!r}; allowed is an integer of at least 1: give the "
                "number of training examples"
            )
        # A class is callable, too: what is meant is an instance.
        if isinstance(likelihood, type) or not callable(likelihood):
            raise ValueError(
                f"likelihood is {likelihood!r}; allowed is a loss or a function of logits and "
                "target: construct it, such as CrossEntropy()"
            )
        if not isinstance(likelihood, Loss) and getattr(likelihood, "reduction", "none") != "none":
            raise ValueError(
                f"likelihood {type(likelihood).__name__} has reduction "
                f"{likelihood.reduction!r}; allowed is one value per example: construct it with "
                "reduction='none'"
            )
        if isinstance(prior, type) or not callable(prior):
            raise ValueError(
                f"prior is {prior!r}; allowed is a function of the parameters: construct it, such "
                "as FlatPrior() for none"
            )
        check_choice("reduction", reduction, Reduction)
        self.likelihood = likelihood
        self.prior = prior
        self.num_train = int(num_train)
        self.reduction: Reduction = reduction

    def extra_repr(self) -> str:
        """Return the arguments but for the likelihood, for ``repr``."""
        return f"prior={self.prior!r}, num_train={self.num_train}, reduction={self.reduction!r}"

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the likelihood term of each example, ``(N,)``."""
        likelihood = self.likelihood
        give = likelihood.per_example if isinstance(likelihood, Loss) else likelihood
        values: Any = give(logits, target)  # a custom one may give anything
        if isinstance(values, Tensor) and values.shape == logits.shape[:1]:
            return values
        is_tensor = isinstance(values, Tensor)
        found = f"shape {tuple(values.shape)}" if is_tensor else f"a {type(values).__name__}"
        raise ValueError(
            f"likelihood {type(likelihood).__name__} returned {found}; allowed is "
            f"({logits.shape[0]},), one value per example: reduce over the classes alone"
        )

    def forward(self, logits: Tensor, target: Tensor, parameters: Iterable[Tensor]) -> Tensor:
        """Return l_i + prior(W)/N, reduced; W, ``parameters``, is e.g. ``model.parameters()``."""
        penalty = self.prior(parameters) / self.num_train
        return reduce(self.per_example(logits, target) + penalty, self.reduction)

    def terms(self, logits: Tensor, target: Tensor, parameters: Iterable[Tensor]) -> Terms:
        """Return the parts of the mean objective; arguments as for :meth:`forward`."""
        per_example = self.per_example(logits, target)
        likelihood = per_example.mean()
        if isinstance(self.prior, FlatPrior):  # the usual case: two operations fewer per step
            return Terms(per_example, likelihood, likelihood.new_zeros(()), likelihood)
        penalty = self.prior(parameters) / self.num_train
        return Terms(per_example, likelihood, penalty, likelihood + penalty)
