"""What reports call the numbers that diagnostics record under ``why/``."""

from collections.abc import Mapping

DIAGNOSTIC_NAMES: Mapping[str, str] = {
    "why/attenuation/ratio": "attenuation factor",
    "why/calibration/adaptive_ece": "test adaptive ECE",
    "why/calibration/adaptive_ece_scaled": "test adaptive ECE after one temperature",
    "why/calibration/brier": "test Brier score",
    "why/calibration/brier_scaled": "test Brier score after one temperature",
    "why/calibration/ece": "test ECE",
    "why/calibration/ece_scaled": "test ECE after one temperature",
    "why/calibration/nll": "test NLL",
    "why/calibration/nll_scaled": "test NLL after one temperature",
    "why/calibration/temperature": "temperature",
    "why/flipped_labels/clean_accuracy": "training accuracy on right labels",
    "why/flipped_labels/corrected": "wrong labels answered with the right class",
    "why/flipped_labels/memorised": "wrong labels that were learned",
    "why/landscape/line/relative_barrier": "barrier on the line from start to end, in its fall",
    "why/landscape/line/relative_rise": "rise on the line from start to end, in its fall",
    "why/logit_curvature/share/negative_eigenvalues": "negative eigenvalues of logit Hessians",
    "why/logit_curvature/share/negative_examples": "examples with negative logit curvature",
    "why/logit_gradients/norm": "norm of the logit gradients",
    "why/logit_gradients/share/confident_wrong": "gradient energy of the confidently wrong",
    "why/logit_gradients/share/too_right": "gradient energy that pushes right scores down",
    "why/margins/margin": "margin of training examples",
    "why/saturation/share/saturated_right": "training examples with p_y above 0.999",
    "why/saturation/share/saturated_wrong": "training examples with p_y below 0.001",
    "why/weight_curvature/hessian/largest": "largest Hessian eigenvalue",
    "why/weight_curvature/hessian/trace": "trace of the Hessian",
}


def is_share(tag: str) -> bool:
    """Return whether a diagnostic's number is a part of a whole, in [0, 1].

    >>> is_share("why/flipped_labels/memorised"), is_share("why/margins/margin")
    (True, False)
    """
    return "/share/" in tag or tag.startswith("why/flipped_labels/")
