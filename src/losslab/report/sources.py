"""Where a claim comes from, as a citation that a reader can find."""

import re

SCIENCE = "experiments/science.md"

MECHANISMS = {
    "A": "attenuation by softmax",
    "B": "non-convexity in the logits",
    "C": "scale of the gradient",
    "D": "relative strength of weight decay",
    "E": "dilution over many classes",
    "F": "penalty on outputs that are too right",
    "G": "curvature that stays",
}
CONDITIONS = {
    1: "raw outputs at a learning rate of their own",
    2: "clipped or normalised gradients",
    3: "calibration before temperature scaling",
    4: "fine-tuning from cross-entropy",
    5: "wide networks trained long",
    6: "label noise",
    7: "spread over seeds",
}
STATEMENTS = {
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


def citation(source: str) -> str:
    """Return a claim's source with the name of every code in it, and where it is defined.

    >>> citation("mechanism C")
    'experiments/science.md, mechanism C: scale of the gradient'
    >>> citation("Hui & Belkin 2021")
    'Hui & Belkin 2021'
    """
    text = re.sub(
        r"\bmechanisms?((?:(?:,| and)? ?\b[A-G]\b)+)(?!:)",
        lambda found: "; ".join(
            f"mechanism {letter}: {MECHANISMS[letter]}"
            for letter in re.findall(r"\b[A-G]\b", found[1])
        ),
        source,
    )
    text = re.sub(
        r"\bS(1[0-4]|[1-9])\b(?!:)",
        lambda found: f"statement S{found[1]}: {STATEMENTS[int(found[1])]}",
        text,
    )
    text = re.sub(
        r"\bcondition ([1-7])\b(?!:)",
        lambda found: f"condition {found[1]}: {CONDITIONS[int(found[1])]}",
        text,
    )
    return text if text == source or SCIENCE in text else f"{SCIENCE}, {text}"
