"""The margin of the true class, and the scale of the logits."""

import math

import torch

from losslab.diagnostics.view import Diagnostic, View, floats
from losslab.types import Finding


class Margins(Diagnostic):
    """The margin z_y − max_{i≠y} z_i of each probe example, and the scale of the logits.

    - ``margin``: the mean over the probe;
    - ``margin/tenth_percentile``: a tenth of the examples lie below it (interpolated);
    - ``share/negative``: margin < 0, another class leads;
    - ``logits/norm``: the mean of ‖z‖₂;
    - ``logits/largest``: the mean of max_i |z_i|;
    - ``logits/spread``: the standard deviation of z over the K classes, mean over the probe. It
      does not see a shift of all scores, which softmax ignores.

    Reading: cross-entropy rewards ever larger margins, and the logits grow without bound; squared
    error on raw outputs rewards a margin of 1 and no more; after softmax its gradient vanishes with
    1 − p_y, and the logits stay smaller.
    """

    def measure(self, view: View) -> Finding:
        """Return a share in [0, 1] and the others in units of the logits."""
        label, z = view.labels.unsqueeze(1), view.logits
        margin = (z.gather(1, label) - z.scatter(1, label, -math.inf).amax(1, keepdim=True))[:, 0]
        numbers = {
            "margin": margin.mean(),
            "margin/tenth_percentile": margin.quantile(0.1),
            "share/negative": (margin < 0).double().mean(),
            "logits/norm": z.norm(dim=1).mean(),
            "logits/largest": z.abs().amax(1).mean(),
            "logits/spread": z.std(dim=1, correction=0).mean(),
        }
        return Finding(floats(numbers), {})


def signal(view: View) -> float:
    """Return −⟨∇m, ∇L⟩: the growth of the mean margin m under gradient descent, per unit of rate.

    A margin is z_y less the mean of the other logits; L is the mean loss, both over the probe.
    """
    logits, labels = view.model(view.probe.images), view.probe.labels
    true, k = logits.gather(1, labels[:, None]).squeeze(1), logits.shape[1]
    margin = ((k * true - logits.sum(1)) / (k - 1)).mean()
    loss = view.objective.per_example(logits, labels).mean()
    weights = list(view.model.parameters())
    # With batch norm a convolution's bias has no effect, and its gradient is rounding.
    margin_gradients = torch.autograd.grad(margin, weights, retain_graph=True)
    loss_gradients = torch.autograd.grad(loss, weights)
    pairs = zip(margin_gradients, loss_gradients, strict=True)
    return -math.fsum((m * g).sum().item() for m, g in pairs)
