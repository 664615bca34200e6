"""Which of a run's tags TensorBoard shows unless all are asked for: about thirty of seventy.

``metrics.jsonl`` has every number; a page with seventy charts answers no question.
"""

_TRAIN_DETAILS = {"brier", "ece", "cross_entropy", "entropy", "kl_divergence"}
_SHOWN = {  # of the diagnostics that give many numbers; of others, such as a user's own, all
    "attenuation": {"ratio", "ratio/confident_wrong"},
    "calibration": {"temperature", "ece_scaled"},
    "geometry": {"cosine"},
    "layers": set[str](),
    "logit_curvature": {"largest/mean", "share/negative_examples"},
    "logit_gradients": {"norm", "share/confident_wrong", "share/too_right"},
    "margins": {"margin"},
    "plateau": {"left"},
    "saturation": {"share/saturated_wrong"},
}


def is_shown(tag: str) -> bool:
    """Return whether TensorBoard shows a tag by default."""
    part, _, name = tag.partition("/")
    if part == "why":
        diagnostic, _, key = name.partition("/")
        return key in _SHOWN.get(diagnostic, {key})
    return part != "train" or name not in _TRAIN_DETAILS
