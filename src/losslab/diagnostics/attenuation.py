"""How much of cross-entropy's gradient a loss lets through, example by example."""

from dataclasses import dataclass

import torch

from losslab.diagnostics.logit_gradients import confidence_groups, profile
from losslab.diagnostics.view import View
from losslab.types import Finding


@dataclass(frozen=True, kw_only=True)
class Attenuation:
    """The ratio ‖∂l/∂z‖₂ / ‖p − y‖₂ of each probe example, p = softmax(z), y one-hot.

    The denominator is the norm of cross-entropy's gradient at the same logits, so the ratio is 1
    under cross-entropy everywhere. ``ratio`` is the mean over the probe, ``ratio/median`` the
    median, and ``ratio/confident_wrong``, ``ratio/uncertain`` and ``ratio/confident_right`` the
    means of three groups (:func:`confidence_groups`; absent for an empty one). The curve
    ``profile`` has the mean ratio by bin of p_y. An example with p_y = 1 to rounding in float64,
    where both norms are 0, is left out.

    Reading: at z = 0 the ratio is 2/K² for squared error after softmax averaged over the classes,
    which is a matter of scale (mechanism C) that a learning rate can mend. What no rate mends is
    that the ratio falls with p_y: for two classes and squared error after softmax summed it is
    4 p_y (1 − p_y), which vanishes where the network is confidently wrong (mechanism A). On raw
    scores it does not vanish there; it may be any number from 0 up, and is unbounded as p_y → 1.

    Cost: O(P·K) beyond the logit gradients, which :class:`LogitGradients` needs, too.

    Source: Goodfellow, Bengio and Courville 2016, *Deep Learning*, §6.2.2.3.

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 1

    def measure(self, view: View) -> Finding:
        """Return ratios in [0, ∞), in units of the loss per nat."""
        one_hot = torch.nn.functional.one_hot(view.labels, view.logits.shape[1])
        reference = (view.probabilities - one_hot).norm(dim=1)
        defined = reference > 0
        if not bool(defined.any()):
            return Finding({}, {})
        ratios = view.logit_gradients.norm(dim=1)[defined] / reference[defined]
        groups = confidence_groups(view.probabilities[defined], view.labels[defined])
        members = torch.stack(list(groups.values())).to(ratios.dtype)
        mean, median = torch.stack([ratios.mean(), ratios.quantile(0.5)]).tolist()
        scalars = {"ratio": mean, "ratio/median": median}
        sums, counts = (members @ ratios).tolist(), members.sum(1).tolist()
        for name, total, count in zip(groups, sums, counts, strict=True):
            if count:
                scalars[f"ratio/{name}"] = total / count
        return Finding(scalars, {"profile": profile(view.p_true[defined], ratios)})
