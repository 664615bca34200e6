"""The curvature of a loss: eigenvalues of each example's Hessian in the logits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.diagnostics.view import Diagnostic, View, floats
from losslab.losses import MAP, CrossEntropy, KLDivergence, NegativeLogLikelihood, SquaredError
from losslab.types import Finding

EXAMPLES = 64  # of the probe, the first ones
LARGEST_NUM_CLASSES = 128  # an eigendecomposition costs K³
FLAT = 1e-6  # of the largest absolute eigenvalue: as flat as 0
ROUNDING = 1e-14  # per class: where softmax saturates, diag(p) − ppᵀ is rounded to about 1e-16


class LogitCurvature(Diagnostic):
    """Eigenvalues of ∂²l/∂z∂zᵀ, one K × K matrix per example, in float64.

    - ``share/negative_examples``: examples with a negative eigenvalue;
    - ``share/negative_eigenvalues``: negative ones among all P·K;
    - ``smallest/mean`` and ``smallest/extreme``: the mean and the least over the examples of each
      one's smallest eigenvalue;
    - ``largest/mean`` and ``largest/extreme``: the mean and the greatest of each one's largest.

    Negative means below −1e-6 times the largest absolute eigenvalue of the probe, and below
    −1e-14 K; the rest is rounding. The first 64 examples are measured; with more than 128 classes
    nothing is.

    Reading: cross-entropy has no negative ones, since diag(p) − ppᵀ is positive semi-definite, and
    its curvature vanishes as it fits. Squared error on raw outputs keeps 2/K in every direction
    (mechanism G, curvature that stays). After softmax it has negative ones, already for two
    classes wherever p_y < 1/3 (mechanism B, non-convexity in the logits). Softmax ignores a shift
    of all scores, so losses of it have one eigenvalue 0.
    """

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1] and eigenvalues in units of the loss per squared logit."""
        if view.logits.shape[1] > LARGEST_NUM_CLASSES:
            return Finding({}, {})
        hessian = logit_hessian(view.loss, view.logits[:EXAMPLES], view.labels[:EXAMPLES])
        if not bool(hessian.isfinite().all()):  # a loss may overflow where its logits do not
            return Finding({}, {})
        values = torch.linalg.eigvalsh(hessian)  # ascending
        rounding = ROUNDING * values.shape[1]
        negative = values < -(FLAT * values.abs().max()).clamp(min=rounding)
        smallest, largest = values[:, 0], values[:, -1]
        numbers = {
            "share/negative_examples": negative[:, 0].double().mean(),
            "share/negative_eigenvalues": negative.double().mean(),
            "smallest/mean": smallest.mean(),
            "smallest/extreme": smallest.min(),
            "largest/mean": largest.mean(),
            "largest/extreme": largest.max(),
        }
        return Finding(floats(numbers), {})


def logit_hessian(objective: MAP, logits: Tensor, target: Tensor) -> Tensor:
    """Return ∂²l/∂z∂zᵀ of each example; the prior does not depend on z.

    In closed form for cross-entropy, KL divergence, negative log-likelihood and squared error; by
    :func:`differentiate_twice` for other losses, subclasses of these among them.

    Of logits ``(N, K)`` and target ``(N,)`` int64 class indices or ``(N, K)`` probabilities;
    ``(N, K, K)``, symmetric.

    >>> from losslab.losses import FlatPrior
    >>> objective = MAP(CrossEntropy(), FlatPrior(), num_train=1)
    >>> logit_hessian(objective, torch.zeros(1, 2), torch.tensor([0]))
    tensor([[[ 0.2500, -0.2500],
             [-0.2500,  0.2500]]])
    """
    closed_form = _CLOSED_FORMS.get(type(objective.likelihood))
    if closed_form is None:
        return differentiate_twice(objective.per_example, logits, target)
    y = one_hot(target, logits.shape[1]) if target.dim() == 1 else target
    return closed_form(objective.likelihood, logits, y.to(logits.dtype))


def differentiate_twice(
    per_example: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor
) -> Tensor:
    """Return the same Hessian ``(N, K, K)`` by K passes backwards through the gradient.

    ``per_example`` maps logits ``(N, K)`` and target to ``(N,)`` and must not mix examples.

    >>> differentiate_twice(lambda z, y: z.pow(3).sum(1), torch.tensor([[1.0, 2.0]]), None)
    tensor([[[ 6.,  0.],
             [ 0., 12.]]])
    """
    with torch.enable_grad():
        z = logits.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(per_example(z, target).sum(), z, create_graph=True)
        if not gradient.requires_grad:  # linear in z
            return logits.new_zeros(*logits.shape, logits.shape[1])
        rows = [
            torch.autograd.grad(column.sum(), z, retain_graph=True, materialize_grads=True)[0]
            for column in gradient.unbind(1)
        ]
    return torch.stack(rows, dim=1)


def _softmax_jacobian(p: Tensor) -> Tensor:
    """Return ∂p/∂z = diag(p) − ppᵀ."""
    return torch.diag_embed(p) - _outer(p, p)


def _cross_entropy(loss: nn.Module, z: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    # The gradient is p − y, whatever y is, smoothed or not, as long as it sums to 1.
    return _softmax_jacobian(z.softmax(1))


def _squared_error(loss: SquaredError, z: Tensor, y: Tensor) -> Tensor:
    # l = ½ Σ v_i (a_i − M y_i)², so u_i = ∂l/∂a_i = v_i (a_i − M y_i) and ∂²l/∂a_i² = v_i.
    v = 2 * (1 + (loss.true_class_weight - 1) * y)
    if loss.class_reduction == "mean":
        v = v / z.shape[1]
    if loss.activation == "none":
        if loss.one_sided:  # v counts only where the residual is on the wrong side
            residual = z - loss.true_class_target * y
            v = v * torch.where(y > 0, residual < 0, residual > 0)
        return torch.diag_embed(v)
    a = z.softmax(1) if loss.activation == "softmax" else z.sigmoid()
    u = v * (a - loss.true_class_target * y)
    if loss.activation == "sigmoid":
        slope = a * (1 - a)  # a′; a″ = a′ (1 − 2a)
        return torch.diag_embed(slope * (slope * v + (1 - 2 * a) * u))
    # With J = ∂p/∂z and the gradient g = J u = p ∘ (u − ⟨p, u⟩1), the chain rule gives
    # J diag(v) J + Σ_i u_i ∂²p_i, and Σ_i u_i ∂²p_i = diag(g) − g pᵀ − p gᵀ.
    jacobian = _softmax_jacobian(a)
    g = a * (u - (a * u).sum(1, keepdim=True))
    curved = jacobian @ (v.unsqueeze(2) * jacobian)
    return curved + torch.diag_embed(g) - _outer(g, a) - _outer(a, g)


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return left.unsqueeze(2) * right.unsqueeze(1)


_CLOSED_FORMS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], Tensor]] = {
    CrossEntropy: _cross_entropy,
    KLDivergence: _cross_entropy,
    NegativeLogLikelihood: _cross_entropy,
    SquaredError: _squared_error,
}
