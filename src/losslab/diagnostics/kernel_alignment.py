"""How far training has moved the features: lazy training leaves them, rich training does not."""

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from losslab.diagnostics.view import Diagnostic, View, finite_floats
from losslab.types import Finding

CONSTANT = 1e-12
"""Relative to the kernel; below it what centring leaves is rounding of float32 features."""


class KernelAlignment(Diagnostic):
    """Alignment of the features' kernel with its initial one, and the distance of the weights.

    With the inputs h of the last layer of P probe examples as rows of H ``(P, D)``, the kernel is
    H Hᵀ, centred C = J H Hᵀ J with J = I − 11ᵀ/P, and C₀ that of the weights before the first step:

    - ``features``: ⟨C, C₀⟩/(‖C‖ ‖C₀‖) in the Frobenius norm, from 0 to 1 (Cortes, Mohri and
      Rostamizadeh 2012, *Algorithms for learning kernels based on centered alignment*);
    - ``labels``: the same of C and the labels' kernel, 1 for a pair of one class and 0 for others;
    - ``weights``: ‖w − w₀‖/‖w₀‖, w all weights.

    Absent for a model without a module ``.output``; an alignment also where a kernel is constant.

    Reading: at 1 the features rotate and grow, but no example comes relatively nearer to another,
    and only the last layer learned: training was lazy (Chizat, Oyallon and Bach 2019, *On lazy
    training in differentiable programming*). The further below 1, the richer; Fort et al. 2020,
    *Deep learning versus kernel learning*, follow 1 minus it of the tangent kernel. ``labels`` says
    whether the features moved towards the classes. Cost: one more forward pass of the probe.
    """

    def measure(self, view: View) -> Finding:
        """Return alignments in [0, 1] and relative distances ≥ 0."""
        features, initial_features = view.features, view.initial_features
        if features is None or initial_features is None or not bool(features.isfinite().all()):
            return Finding({}, {})
        same_class = (view.labels[:, None] == view.labels).to(features.dtype)
        kernel = features @ features.T
        initial = [view.initial[name] for name, _ in view.model.named_parameters()]
        moves = [p.detach() - w for p, w in zip(view.model.parameters(), initial, strict=True)]
        distance = get_total_norm(moves) / get_total_norm(initial)
        numbers = {
            "features": alignment(kernel, initial_features @ initial_features.T),
            "labels": alignment(kernel, same_class),
            "weights": distance.cpu(),
        }
        return Finding(finite_floats(numbers), {})


def alignment(left: Tensor, right: Tensor) -> Tensor:
    """Return the centred alignment ``()`` of two kernels ``(P, P)``; NaN if one is constant.

    >>> kernel = torch.eye(3, dtype=torch.float64)
    >>> round(alignment(kernel, 5 * kernel + 2).item(), 6)
    1.0
    """
    a, b = (k - k.mean(0) - k.mean(1, keepdim=True) + k.mean() for k in (left, right))
    cosine: Tensor = (a * b).sum() / (a.norm() * b.norm())
    constant = torch.stack([c.norm() <= CONSTANT * k.norm() for c, k in ((a, left), (b, right))])
    return torch.where(constant.any(), torch.nan, cosine)
