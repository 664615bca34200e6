"""Per-example logit gradients, against the probability of the true class."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.diagnostics.view import Diagnostic, View, floats
from losslab.types import Finding

EDGES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)
"""Of the profile's bins (a, b] in p_y; the first also holds 0."""

CONFIDENT = 0.9
"""A prediction is confident where its largest probability is at least this."""

SATURATED = 1e-3
"""An example is saturated where p_y is below this, or above 1 less this."""

GROUPS = ("confident_wrong", "uncertain", "confident_right")


def confidence_groups(probabilities: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return three masks ``(P,)``; each example is in one of them.

    >>> p = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4]])
    >>> groups = confidence_groups(p, torch.tensor([0, 1, 0]))
    >>> {name: mask.tolist() for name, mask in groups.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'confident_wrong': [False, True, False], 'uncertain': [False, False, True],
     'confident_right': [True, False, False]}
    """
    confidence, predicted = probabilities.max(1)
    confident, right = confidence >= CONFIDENT, predicted == labels
    return dict(zip(GROUPS, (confident & ~right, ~confident, confident & right), strict=True))


def profile(p_true: Tensor, values: Tensor) -> dict[str, list[float]]:
    """Return mean ``p_true``, mean of ``values`` and count by bin of ``p_true``; both ``(P,)``.

    Bins without an example are left out.

    >>> profile(torch.tensor([0.25, 0.25, 1.0]), torch.tensor([1.0, 3.0, 0.0]))
    {'p_true': [0.25, 1.0], 'mean': [2.0, 0.0], 'count': [2.0, 1.0]}
    """
    bins = torch.bucketize(p_true, torch.tensor(EDGES[1:-1], dtype=p_true.dtype))
    members = one_hot(bins, len(EDGES) - 1).double()
    sums = torch.stack([p_true, values, torch.ones_like(values)]).double() @ members
    p_sum, value_sum, count = sums[:, sums[2] > 0]
    columns = {"p_true": p_sum / count, "mean": value_sum / count, "count": count}
    return {name: column.tolist() for name, column in columns.items()}


class LogitGradients(Diagnostic):
    """Norm ‖∂l/∂z‖₂ of each probe example, and the shares of the gradient energy.

    The energy of a group is Σ ‖∂l/∂z‖² over its examples; its share is of the energy of all:

    - ``share/confident_wrong``: largest probability ≥ 0.9, on a wrong class;
    - ``share/uncertain``: largest probability < 0.9;
    - ``share/confident_right``: largest probability ≥ 0.9, on the label;
    - ``share/too_right``: classified correctly and ∂l/∂z_y > 0, so that the step pushes the right
      score down. Never under cross-entropy, whose ∂l/∂z_y = p_y − 1 ≤ 0; under squared error on
      raw outputs wherever a correct z_y > 1 (mechanism F, right answers are pushed back). Overlaps
      the other three.

    ``norm`` is the mean over the probe, ``norm/...`` over each of the three groups (absent for an
    empty one), and the curve ``profile`` the mean norm by bin of p_y.

    Reading: cross-entropy's norm grows as p_y falls (up to √2); squared error after softmax
    vanishes at both ends (mechanism A, attenuation by softmax).
    """

    sometimes = tuple(f"norm/{group}" for group in GROUPS)

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1] and norms in units of the loss."""
        norms = view.logit_gradients.norm(dim=1)
        energy = norms.square()
        total = energy.sum()
        towards_label = view.logit_gradients.gather(1, view.labels.unsqueeze(1)).squeeze(1)
        groups = confidence_groups(view.probabilities, view.labels)
        numbers = {"norm": norms.mean()}
        for name, members in (groups | {"too_right": view.correct & (towards_label > 0)}).items():
            if total > 0:
                numbers[f"share/{name}"] = (members * energy).sum() / total
            if name in groups and members.any():
                numbers[f"norm/{name}"] = (members * norms).sum() / members.sum()
        return Finding(floats(numbers), {"profile": profile(view.p_true, norms)})


class Attenuation(Diagnostic):
    """A loss's gradient relative to cross-entropy's: ‖∂l/∂z‖₂ / ‖p − y‖₂, y one-hot.

    The denominator is the norm of cross-entropy's gradient at the same logits, so the ratio is 1
    under cross-entropy. ``ratio`` is the mean over the probe, ``ratio/median`` the median, and
    ``ratio/confident_wrong``, ``ratio/uncertain`` and ``ratio/confident_right`` the means of the
    groups of :func:`confidence_groups` (absent for an empty one). The curve ``profile`` is the
    mean ratio by bin of p_y. Examples where ‖p − y‖ is 0 in float64 are left out. Where p_y is 1 to
    rounding (the label leads by 35 or more), ‖p − y‖ has only the wrong classes' part, and a ratio
    that does not vanish there may be up to √K times too large, except under cross-entropy.

    Reading: at z = 0 the ratio is 2/K² for squared error after softmax averaged over the classes:
    a matter of scale (mechanism C), which a learning rate can correct. No rate corrects that the
    ratio falls with p_y: for two classes and squared error after softmax summed it is
    4 p_y (1 − p_y), which vanishes where the network is confidently wrong (mechanism A, attenuation
    by softmax). On raw outputs it does not vanish there, and is unbounded as p_y → 1.

    Source: Goodfellow, Bengio and Courville 2016, *Deep Learning*, §6.2.2.3.
    """

    sometimes = tuple(f"ratio/{group}" for group in GROUPS)

    def measure(self, view: View) -> Finding:
        """Return ratios in [0, ∞), in units of the loss per nat."""
        cross_entropy = view.probabilities - one_hot(view.labels, view.logits.shape[1])
        reference = cross_entropy.norm(dim=1)
        defined = reference > 0
        if not bool(defined.any()):
            return Finding({}, {})
        ratios = view.logit_gradients.norm(dim=1)[defined] / reference[defined]
        groups = confidence_groups(view.probabilities[defined], view.labels[defined])
        members = torch.stack(list(groups.values())).to(ratios.dtype)
        means = members @ ratios / members.sum(1)
        numbers = {"ratio": ratios.mean(), "ratio/median": ratios.quantile(0.5)}
        for name, mean in zip(groups, means, strict=True):
            if groups[name].any():
                numbers[f"ratio/{name}"] = mean
        return Finding(floats(numbers), {"profile": profile(view.p_true[defined], ratios)})


class Saturation(Diagnostic):
    """Shares of the probe at either end of p_y, the softmax's probability of the label.

    - ``share/saturated_wrong``: p_y < 0.001;
    - ``share/saturated_right``: p_y > 0.999;
    - ``share/confident_wrong``: largest probability ≥ 0.9, on a wrong class;
    - ``p_true``: the mean of p_y.

    Reading: in ``saturated_wrong`` squared error after softmax has hardly any gradient, and the
    share stays; cross-entropy's is largest there and reduces it (mechanism A, attenuation by
    softmax). A network trained on raw outputs seldom saturates: at its target, score 1 for the
    label and 0 for the others, p_y is e/(e + K − 1), 0.23 for ten classes.
    """

    def measure(self, view: View) -> Finding:
        """Return shares and a mean probability, all in [0, 1]."""
        groups = confidence_groups(view.probabilities, view.labels)
        columns = {
            "share/saturated_wrong": view.p_true < SATURATED,
            "share/saturated_right": view.p_true > 1 - SATURATED,
            "share/confident_wrong": groups["confident_wrong"],
            "p_true": view.p_true,
        }
        return Finding(floats({name: c.double().mean() for name, c in columns.items()}), {})
