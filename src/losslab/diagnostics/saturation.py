"""How many examples lie where softmax is flat."""

from dataclasses import dataclass

import torch

from losslab.diagnostics.logit_gradients import confidence_groups
from losslab.diagnostics.view import View
from losslab.types import Finding

MARGIN = 1e-3
"""An example is saturated where p_y is below this, or above 1 less this."""


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Shares of the probe at either end of p_y, the softmax's probability of the label.

    - ``share/saturated_wrong``: p_y < 0.001;
    - ``share/saturated_right``: p_y > 0.999;
    - ``share/confident_wrong``: largest probability ≥ 0.9, on a wrong class;
    - ``p_true``: the mean of p_y.

    Reading: in ``saturated_wrong`` squared error after softmax has hardly a gradient, and the
    share stays; cross-entropy's is largest there, and empties it (mechanism A). Trained on raw
    scores a network seldom saturates: at its target, score 1 for the label and 0 for the others,
    p_y is e/(e + K − 1), 0.23 for ten classes.

    Cost: O(P·K).

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 1

    def measure(self, view: View) -> Finding:
        """Return shares and a mean probability, all in [0, 1]."""
        wrong = confidence_groups(view.probabilities, view.labels)["confident_wrong"]
        columns = [view.p_true < MARGIN, view.p_true > 1 - MARGIN, wrong, view.p_true]
        means = torch.stack([column.double() for column in columns]).mean(1).tolist()
        names = ("share/saturated_wrong", "share/saturated_right", "share/confident_wrong")
        return Finding(dict(zip((*names, "p_true"), means, strict=True)), {})
