"""How far training has moved the features: lazy training leaves them, rich training does not."""

import math

from torch import Tensor
from torch.nn.utils import get_total_norm

from losslab.diagnostics.view import Diagnostic, View, floats
from losslab.types import Finding


class KernelAlignment(Diagnostic):
    """Alignment of the features' kernel with that of the initial weights, and the weights' way.

    With the inputs h of the last layer of P probe examples as rows of H ``(P, D)``, the kernel is
    H Hᵀ, centred C = J H Hᵀ J with J = I − 11ᵀ/P, and C₀ that of the weights before the first step:

    - ``features``: ⟨C, C₀⟩/(‖C‖ ‖C₀‖) in the Frobenius norm, from 0 to 1 (Cortes, Mohri and
      Rostamizadeh 2012, *Algorithms for learning kernels based on centered alignment*);
    - ``labels``: the same of C and the labels' kernel, 1 for a pair of one class and 0 for others;
    - ``weights``: ‖w − w₀‖/‖w₀‖, w all weights.

    Absent for a model without a module ``.output``; an alignment also where a kernel is constant.

    Reading: at 1 the features turn about and grow, but no example comes nearer to another than it
    was, and only the last layer learned: training was lazy (Chizat, Oyallon and Bach 2019, *On lazy
    training in differentiable programming*). The further below 1, the richer; Fort et al. 2020,
    *Deep learning versus kernel learning*, follow 1 minus it of the tangent kernel. ``labels`` says
    whether the features moved towards the classes. Cost: one forward pass more of the probe.
    """

    def measure(self, view: View) -> Finding:
        """Return alignments in [0, 1] and relative distances from 0 up."""
        now, initial = view.features, view.initial_features
        if now is None or initial is None or not bool(now.isfinite().all()):
            return Finding({}, {})
        classes = (view.labels[:, None] == view.labels).to(now.dtype)
        kernel = now @ now.T
        weights = [(p.detach(), view.initial[name]) for name, p in view.model.named_parameters()]
        moved, norm = (
            get_total_norm(w) for w in ([a - b for a, b in weights], [b for _, b in weights])
        )
        numbers = {
            "features": alignment(kernel, initial @ initial.T),
            "labels": alignment(kernel, classes),
            "weights": (moved / norm).cpu(),
        }
        return Finding({n: v for n, v in floats(numbers).items() if math.isfinite(v)}, {})


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the centred alignment ``()`` of two kernels ``(P, P)``; NaN if one is constant.

    >>> import torch
    >>> kernel = torch.eye(3, dtype=torch.float64)
    >>> round(alignment(kernel, 5 * kernel + 2).item(), 6)
    1.0
    """
    a, b = (k - k.mean(0) - k.mean(1, keepdim=True) + k.mean() for k in (one, other))
    found: Tensor = (a * b).sum() / (a.norm() * b.norm())
    return found
