"""Train with the gradient of one loss in some respects and of another in the rest."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.func import grad

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction, check_choice, prepare

Source = Literal["cross_entropy", "mse_softmax"]
_WITHOUT_FLOAT64 = ("mps",)
_LOSSES: dict[Source, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "mse_softmax": functional.squared_error,
}


class GradientSwap(Loss):
    """The gradient in the logits composed from cross-entropy's and softmax squared error's.

    With G_n the gradient of a loss in the logits of example n, ‖·‖ its Euclidean norm and s the
    mean of ‖G_n‖ over the batch, G_n = s · (‖G_n‖/s) · (G_n/‖G_n‖): a scale of the batch, a size
    of the example relative to the batch, and a direction. Each of the three is taken from one of
    two losses, ``"cross_entropy"`` or ``"mse_softmax"`` (‖p − y‖²/K). All from one give its own
    gradient, to rounding.

    - Value: that of the loss named for the direction; no function has the composed gradient.
    - Gradient: s of the one, times ‖G_n‖/s of another, times G_n/‖G_n‖ of a third; 0 for an example
      for which the size or the direction is of a gradient that is 0. It is computed in float64
      (on MPS, which has none, in float32); where p_y < 10⁻¹⁶, nothing but rounding is left of the
      direction of squared error.
    - Range: [0, ∞), or [0, 2/K] for ``direction="mse_softmax"``.
    - Second derivatives are 0: the gradient is a constant to autograd.
    - ``batch_dependent``: the gradient of an example depends on the rest of its batch.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for a factor that names another loss.

    Args:
        scale: Whose mean norm over the batch.
        relative: Whose norms of the examples over their mean.
        direction: Whose directions.

    Source: this project; experiments/science.md, mechanisms A: attenuation by softmax, B:
    non-convexity in the logits, C: scale of the gradient.

    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [9.0, 0.0, 0.0]], requires_grad=True)
    >>> labels = torch.tensor([0, 1])  # right, and wrong with confidence
    >>> for relative in ("cross_entropy", "mse_softmax"):
    ...     loss = GradientSwap(relative=relative, reduction="sum")
    ...     print(torch.autograd.grad(loss(logits, labels), logits)[0].norm(dim=1))
    tensor([0.2609, 1.4140])
    tensor([1.6631, 0.0117])
    """

    batch_dependent = True

    def __init__(
        self,
        scale: Source = "cross_entropy",
        relative: Source = "cross_entropy",
        direction: Source = "cross_entropy",
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.scale, self.relative, self.direction = scale, relative, direction
        for name in ("scale", "relative", "direction"):
            check_choice(name, getattr(self, name), Source)

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``; its sum has the composed gradient."""
        logits, target = prepare(logits, target)
        value = _LOSSES[self.direction](logits, target).detach()
        wide = torch.float32 if logits.device.type in _WITHOUT_FLOAT64 else torch.float64
        precise = logits.detach().to(wide)
        y = target.to(wide) if target.dim() == 2 else target
        gradients: dict[str, Tensor] = {
            name: grad(lambda z, of=_LOSSES[name]: of(z, y).sum())(precise)
            for name in get_args(Source)
        }
        norms = {name: g.norm(dim=1, keepdim=True) for name, g in gradients.items()}
        # Where a norm is 0, so is the result: 0 over a tiny number, not the NaN of 0/0.
        tiny = torch.finfo(wide).tiny
        size = norms[self.relative] * (
            norms[self.scale].mean() / norms[self.relative].mean().clamp_min(tiny)
        )
        direction = gradients[self.direction] / norms[self.direction].clamp_min(tiny)
        # Less its own value, which is 0, it has the composed gradient.
        surrogate: Tensor = (logits * (size * direction).to(logits.dtype)).sum(1)
        return surrogate - surrogate.detach() + value
