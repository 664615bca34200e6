"""Where a loss curves downwards: eigenvalues of each example's Hessian in the logits."""

from dataclasses import dataclass

import torch

from losslab.diagnostics.logit_hessian import logit_hessian
from losslab.diagnostics.view import View
from losslab.types import Finding

EXAMPLES = 64
"""At most so many of the probe's examples, the first ones."""

LARGEST_NUM_CLASSES = 128
"""With more classes nothing is computed: an eigendecomposition costs K³."""

FLAT = 1e-6
"""An eigenvalue counts as negative below −FLAT times the largest absolute one of the probe."""


@dataclass(frozen=True, kw_only=True)
class LogitCurvature:
    """Eigenvalues of ∂²l/∂z∂zᵀ, one K × K matrix an example, in float64.

    - ``share/negative_examples``: examples with a negative eigenvalue;
    - ``share/negative_eigenvalues``: negative ones among all P·K;
    - ``smallest/mean`` and ``smallest/extreme``: the mean and the least over the examples of each
      one's smallest eigenvalue;
    - ``largest/mean`` and ``largest/extreme``: the mean and the greatest of each one's largest.

    A negative eigenvalue is one below −1e-6 times the largest absolute eigenvalue of the probe:
    what is above is flat for this purpose, or rounding. The first 64 examples are looked at; with
    more than 128 classes the numbers are absent.

    Reading: cross-entropy has none negative, diag(p) − ppᵀ being positive semi-definite, and
    its curvature vanishes as it fits. Squared error on raw scores has 2/K in every direction for
    ever (mechanism G). After softmax it has negative ones, already for two classes wherever
    p_y < 1/3: the loss is not convex in the logits (mechanism B). Softmax ignores a shift of all
    scores, so losses of it have one eigenvalue 0.

    Cost: O(64·K³), without a pass through the network; losses without a closed form
    (:func:`losslab.diagnostics.logit_hessian.logit_hessian`) K passes backwards through the loss.

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 1

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1] and eigenvalues in units of the loss per squared logit."""
        if view.logits.shape[1] > LARGEST_NUM_CLASSES:
            return Finding({}, {})
        hessian = logit_hessian(view.loss, view.logits[:EXAMPLES], view.labels[:EXAMPLES])
        if not bool(hessian.isfinite().all()):  # a loss may overflow where its logits do not
            return Finding({}, {})
        values = torch.linalg.eigvalsh(hessian)  # ascending
        negative = values < -FLAT * values.abs().max()
        smallest, largest = values[:, 0], values[:, -1]
        numbers = {
            "share/negative_examples": negative[:, 0].double().mean(),
            "share/negative_eigenvalues": negative.double().mean(),
            "smallest/mean": smallest.mean(),
            "smallest/extreme": smallest.min(),
            "largest/mean": largest.mean(),
            "largest/extreme": largest.max(),
        }
        found = torch.stack(list(numbers.values())).tolist()
        return Finding(dict(zip(numbers, found, strict=True)), {})
