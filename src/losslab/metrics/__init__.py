"""Accuracy, NLL, Brier score and ECE: the numbers in which different losses are comparable.

Functions of logits and labels, of torch or numpy; importing them does not import torch.
"""

from losslab.metrics.calibration import adaptive_ece, fit_temperature, reliability
from losslab.metrics.classification import (
    ECE_BINS,
    RANGES,
    ClassificationSums,
    accuracy,
    brier,
    confusion,
    ece,
    nll,
    worst_mistakes,
)

__all__ = [
    "ECE_BINS",
    "RANGES",
    "ClassificationSums",
    "accuracy",
    "adaptive_ece",
    "brier",
    "confusion",
    "ece",
    "fit_temperature",
    "nll",
    "reliability",
    "worst_mistakes",
]
