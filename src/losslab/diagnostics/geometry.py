"""The geometry of the classes before the last layer, and how near it is to neural collapse."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.diagnostics.view import Diagnostic, View, finite_floats
from losslab.types import Finding

LEAST_SINGULAR_VALUE = 1e-6
"""Relative to the largest; below it a direction of the class means is rounding of float32.

So is a class mean's distance from their mean, relative to the longest features, and the square
root of a cosine distance.
"""


class Geometry(Diagnostic):
    """Class means of the last layer's inputs h, and the spread about them.

    With μ_c the mean of class c, μ the mean of the K class means, Σ_W the mean over the examples
    of (h − μ_c)(h − μ_c)ᵀ and Σ_B the mean over the classes of (μ_c − μ)(μ_c − μ)ᵀ:

    - ``within_over_between``: tr(Σ_W Σ_B⁺)/K, Σ_B⁺ the pseudo-inverse (NC1);
    - ``cosine``: the mean over pairs of classes of the cosine of μ_c − μ and μ_c′ − μ;
    - ``cosine/std``: its standard deviation over the pairs (NC2);
    - ``separation``: 1 − d_within/d_total of the cosine distances 1 − cos(h_i, h_j): d_within is
      the mean over the classes of the mean over the pairs in a class, d_total the mean over the
      pairs of classes, a class with itself included, of the mean over their pairs.

    Classes are the labels trained on. All are absent where a class has fewer than two examples in
    the probe, where the mean of a class coincides with μ, and for a model without a module
    ``.output``; the last also where features of an example are all zero, and where those of all
    examples have one direction.

    Reading: as a network fits beyond zero training error, the first falls to 0 and the cosines
    all become −1/(K − 1), the equal angles of a simplex. Watch their spread: the mean is about
    there from the start, since the centred means sum to 0. Compare losses on the same probe, not
    with numbers of whole training sets: means of few examples make the ratio smaller, and the
    separation larger, as a pair of an example with itself counts. The separation is 0 for classes
    that are mixed and 1 for classes that are points.

    Source: Papyan, Han and Donoho 2020, *Prevalence of neural collapse during the terminal phase
    of deep learning training*; of the separation Kornblith et al. 2021, *Why do better loss
    functions lead to less transferable features?*, its formula as others' code has it.
    """

    def measure(self, view: View) -> Finding:
        """Return a ratio in [0, ∞), a mean cosine in [−1, 1], its spread, and a share below 1."""
        features, num_classes = view.features, view.logits.shape[1]
        counts = view.labels.bincount(minlength=num_classes)
        if features is None or not bool(features.isfinite().all()) or int(counts.min()) < 2:
            return Finding({}, {})
        members = one_hot(view.labels, num_classes).to(features.dtype)
        means = (members.T @ features) / counts.unsqueeze(1)
        centred = means - means.mean(0)
        norms = centred.norm(dim=1, keepdim=True)
        if not bool((norms > LEAST_SINGULAR_VALUE * features.norm(dim=1).max()).all()):
            return Finding({}, {})
        directions = centred / norms
        row, column = torch.triu_indices(num_classes, num_classes, offset=1)
        cosines = (directions @ directions.T)[row, column]
        numbers = {
            "within_over_between": within_over_between(features - means[view.labels], centred),
            "cosine": cosines.mean(),
            "cosine/std": cosines.std(correction=0),
            "separation": separation(features, members),
        }
        return Finding(finite_floats(numbers), {})


def separation(features: Tensor, members: Tensor) -> Tensor:
    """Return 1 − d_within/d_total ``()`` of features ``(P, D)``, the classes one-hot ``(P, K)``.

    With u = h/‖h‖ and m_c its mean over a class, the mean of u_iᵀu_j over the pairs of two classes
    is m_cᵀm_c′; no pair is formed.

    >>> h = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> separation(h, one_hot(torch.tensor([0, 0, 1, 1])).float())
    tensor(1.)
    """
    directions = features / features.norm(dim=1, keepdim=True)
    means = (members.T @ directions) / members.sum(0).unsqueeze(1)
    within, total = 1 - means.square().sum(1).mean(), 1 - means.mean(0).square().sum()
    share: Tensor = 1 - within / total
    return torch.where(total > LEAST_SINGULAR_VALUE**2, share, torch.nan)


def within_over_between(residuals: Tensor, centred: Tensor) -> Tensor:
    """Return tr(Σ_W Σ_B⁺)/K of residuals h − μ_c ``(P, D)`` and μ_c − μ ``(K, D)``."""
    # With centred = U S Vᵀ, Σ_B is V S² Vᵀ/K, so Σ_B⁺/K is V S⁻² Vᵀ.
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    nonzero = singular > LEAST_SINGULAR_VALUE * singular[0]
    scores: Tensor = residuals @ directions[nonzero].T / singular[nonzero]
    return scores.square().sum(1).mean()
