"""Losses for classification, usable in anybody's training loop without the rest of losslab.

Every loss is ``loss(logits, target)`` with logits ``(N, K)`` and target ``(N,)`` int64 class
indices or ``(N, K)`` probabilities, reduced by ``reduction="mean" | "sum" | "none"``.
:mod:`losslab.losses.functional` has the same losses as functions.
"""

from losslab.losses.alternatives import (
    BinaryCrossEntropy,
    BiTempered,
    Focal,
    GeneralizedCrossEntropy,
    LogitNormalization,
    MeanAbsoluteError,
    MulticlassHinge,
    PolyLoss,
    Squentropy,
    SymmetricCrossEntropy,
    TaylorCrossEntropy,
)
from losslab.losses.base import Loss
from losslab.losses.gradient_swap import GradientSwap
from losslab.losses.information import cross_entropy, entropy, kl_divergence
from losslab.losses.likelihood import (
    CrossEntropy,
    Decomposition,
    KLDivergence,
    NegativeLogLikelihood,
    UnnormalizedCrossEntropy,
)
from losslab.losses.objective import MAP, Terms
from losslab.losses.priors import FlatPrior, GaussianPrior, LaplacePrior, Prior
from losslab.losses.squared_error import SquaredError

__all__ = [
    "MAP",
    "BiTempered",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Decomposition",
    "FlatPrior",
    "Focal",
    "GaussianPrior",
    "GeneralizedCrossEntropy",
    "GradientSwap",
    "KLDivergence",
    "LaplacePrior",
    "LogitNormalization",
    "Loss",
    "MeanAbsoluteError",
    "MulticlassHinge",
    "NegativeLogLikelihood",
    "PolyLoss",
    "Prior",
    "SquaredError",
    "Squentropy",
    "SymmetricCrossEntropy",
    "TaylorCrossEntropy",
    "Terms",
    "UnnormalizedCrossEntropy",
    "cross_entropy",
    "entropy",
    "kl_divergence",
]
