"""Where the gradient is: per-example logit gradients against the probability of the true class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from losslab.diagnostics.view import View
from losslab.types import Finding

EDGES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)
"""Of the profile's bins (a, b] in p_y; the first holds 0, too."""

CONFIDENT = 0.9
"""A prediction is confident where its largest probability is at least this."""


@dataclass(frozen=True, kw_only=True)
class LogitGradients:
    """Norm ‖∂l/∂z‖₂ of each probe example, and who has how much of the gradient energy.

    The energy of a group is Σ ‖∂l/∂z‖² over its examples, its share that over the energy of all:

    - ``share/confident_wrong``: largest probability ≥ 0.9, on a wrong class;
    - ``share/uncertain``: largest probability < 0.9;
    - ``share/confident_right``: largest probability ≥ 0.9, on the label;
    - ``share/too_right``: classified correctly and ∂l/∂z_y > 0, so that the step pushes the right
      score down. Never under cross-entropy, whose ∂l/∂z_y = p_y − 1 ≤ 0; under squared error on
      raw scores wherever a correct z_y > 1 (mechanism F). Overlaps the other three.

    ``norm`` is the mean over the probe, and ``norm/...`` over each of the three groups (absent
    for an empty one). The curve ``profile`` has the mean norm by bin of p_y.

    Reading: cross-entropy's norm grows as p_y falls (up to √2); squared error after softmax
    vanishes at both ends (mechanism A).

    Cost: one backward pass through the loss alone, O(P·K).

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 1

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1] and norms in units of the loss."""
        norms = view.logit_gradients.norm(dim=1)
        energy = norms.square()
        groups = confidence_groups(view.probabilities, view.labels)
        too_right = view.correct & (
            view.logit_gradients.gather(1, view.labels.unsqueeze(1)).squeeze(1) > 0
        )
        masks = torch.stack([*groups.values(), too_right])
        weights = masks.to(norms.dtype)
        table = torch.stack(
            [(weights * energy).sum(1), (weights * norms).sum(1), weights.sum(1)]
        ).tolist()
        names = [*groups, "too_right"]
        scalars = {"norm": norms.mean().item()}
        whole = energy.sum().item()
        for name, energy_sum, norm_sum, count in zip(names, *table, strict=True):
            if whole > 0:
                scalars[f"share/{name}"] = energy_sum / whole
            if count and name != "too_right":
                scalars[f"norm/{name}"] = norm_sum / count
        return Finding(scalars, {"profile": profile(view.p_true, norms)})


def confidence_groups(probabilities: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return three ``(P,)`` masks that cover every example once.

    >>> p = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4]])
    >>> groups = confidence_groups(p, torch.tensor([0, 1, 0]))
    >>> {name: mask.tolist() for name, mask in groups.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'confident_wrong': [False, True, False], 'uncertain': [False, False, True],
     'confident_right': [True, False, False]}
    """
    confidence, predicted = probabilities.max(1)
    confident, right = confidence >= CONFIDENT, predicted == labels
    return {
        "confident_wrong": confident & ~right,
        "uncertain": ~confident,
        "confident_right": confident & right,
    }


def profile(p_true: Tensor, values: Tensor) -> dict[str, list[float]]:
    """Return the mean of ``values`` by bin of ``p_true``, for the bins that hold an example.

    Args:
        p_true: ``(P,)`` in [0, 1].
        values: ``(P,)``.

    Returns:
        Columns ``p_true`` (mean in the bin), ``mean`` and ``count``.

    >>> profile(torch.tensor([0.25, 0.25, 1.0]), torch.tensor([1.0, 3.0, 0.0]))
    {'p_true': [0.25, 1.0], 'mean': [2.0, 0.0], 'count': [2.0, 1.0]}
    """
    inner = torch.tensor(EDGES[1:-1], dtype=p_true.dtype)
    index = torch.bucketize(p_true, inner)  # (a, b]
    membership = torch.nn.functional.one_hot(index, len(EDGES) - 1).to(torch.float64)
    columns = torch.stack([p_true, values, torch.ones_like(values)]).to(torch.float64) @ membership
    kept = columns[:, columns[2] > 0]
    p_means, means = (kept[:2] / kept[2]).tolist()
    return {"p_true": p_means, "mean": means, "count": kept[2].tolist()}
