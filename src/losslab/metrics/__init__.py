"""Accuracy, NLL, Brier score and ECE: the numbers in which different losses are comparable."""

from losslab.metrics.calibration import adaptive_ece, fit_temperature, reliability
from losslab.metrics.classification import ECE_BINS, ClassificationSums

__all__ = ["ECE_BINS", "ClassificationSums", "adaptive_ece", "fit_temperature", "reliability"]
