"""Where a claim comes from, as a citation that a reader can find."""

import re

SCIENCE = "experiments/science.md"

_MECHANISMS = {
    "A": "attenuation by softmax",
    "B": "non-convexity in the logits",
    "C": "scale of the gradient",
    "D": "relative strength of weight decay",
    "E": "dilution over many classes",
    "F": "penalty on outputs that are too right",
    "G": "curvature that stays",
}
_CONDITIONS = {
    1: "raw outputs at a learning rate of their own",
    2: "clipped or normalised gradients",
    3: "calibration before temperature scaling",
    4: "fine-tuning from cross-entropy",
    5: "wide networks trained long",
    6: "label noise",
    7: "spread over seeds",
}
_STATEMENTS = {
    1: "squared error does not work well for classification",
    2: "cross-entropy measures a match",
    3: "cross-entropy is entropy plus KL divergence",
    4: "entropy is greatest for equal probabilities",
    5: "KL divergence is excess code length",
    6: "minimising cross-entropy minimises KL divergence",
    7: "with one-hot targets the two are equal",
    8: "softmax makes a distribution",
    9: "logarithms for numerical stability",
    10: "cross-entropy is negative log likelihood",
    11: "a Gaussian prior penalises large weights",
    12: "convexity, symmetry and triangle inequality",
    13: "sign of the prior",
    14: "further reading: hinge loss, direction of KL",
}
CODES = {
    **{f"mechanism {letter}": name for letter, name in _MECHANISMS.items()},
    **{f"condition {number}": name for number, name in _CONDITIONS.items()},
    **{f"statement S{number}": name for number, name in _STATEMENTS.items()},
    **{"section 2": "formulas", "section 4": "where squared error is as good or better"},
}
_SHORT = {
    r"\bmechanisms ([A-G])\b": r"mechanism \1",  # of several
    r"(?<=[A-G]), ([A-G])\b": r"; mechanism \1",
    r"\bsection 4\.(\d)": r"condition \1",
    r"(?<!statement )\bS(\d)": r"statement S\1",
    r"\bscience §": "section ",
    r" \[derived\]": ", derivation",
    r"\[derived\]": "derivation",
}


def citation(source: str) -> str:
    """Return a claim's source with the name of every code in it, and where it is defined.

    >>> citation("mechanism A")
    'experiments/science.md, mechanism A: attenuation by softmax'
    >>> citation("Hui & Belkin 2021")
    'Hui & Belkin 2021'
    """
    text = source
    for short, long in _SHORT.items():
        text = re.sub(short, long, text)
    codes = "|".join(sorted(CODES, key=len, reverse=True))
    first = re.search(rf"\b({codes}|derivation)\b", text)
    if first and SCIENCE not in text:
        text = f"{text[: first.start()]}{SCIENCE}, {text[first.start() :]}"
    return re.sub(rf"\b({codes})\b(?![:\d])", lambda found: f"{found[1]}: {CODES[found[1]]}", text)
