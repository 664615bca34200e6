"""Two things that may bring back a class: a floor under the gradient, and revived channels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from losslab.losses import Loss
from losslab.losses.base import Reduction, positive, prepare
from losslab.models import SmallCNN


class FlooredSquaredError(Loss):
    """Squared error after softmax, ‖p − y‖²/K, whose logit gradient never gets too small.

    g = (2/K) p ∘ (r − ⟨p, r⟩1), with r = p − y, keeps its direction and has the norm
    max(‖g‖, ``floor`` · ‖r‖). ‖r‖ is the norm of cross-entropy's gradient: confidently wrong
    examples keep a share of it, where ‖g‖ vanishes. At z = 0 ‖g‖ is 2/K² of it, which is 0.02 for
    ten classes. The value is that of squared error. Where p_y is 0 to rounding g has no direction
    left, and stays 0.

    - Shapes: logits ``(N, K)``, target ``(N,)`` labels, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`losslab.losses.Loss`, and for a floor that is not above 0.

    >>> z = torch.tensor([[20.0, 0.0]], requires_grad=True)
    >>> torch.autograd.grad(FlooredSquaredError(floor=0.1)(z, torch.tensor([1])), z)[0]
    tensor([[ 0.1000, -0.1000]])
    """

    def __init__(self, floor: float = 0.02, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.floor = positive("floor", floor)

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        logits, target = prepare(logits, target)
        # In float64: where p is close to 1 float32 leaves nothing of g's direction.
        p = logits.detach().double().softmax(1)
        r = p - nn.functional.one_hot(target, logits.shape[1])
        g = 2 / logits.shape[1] * p * (r - (p * r).sum(1, keepdim=True))
        size = g.norm(dim=1, keepdim=True)
        least = self.floor * r.norm(dim=1, keepdim=True)
        direction = g / size.clamp_min(torch.finfo(g.dtype).tiny)
        carrier = ((torch.maximum(size, least) * direction).to(logits) * logits).sum(1)
        value: Tensor = r.square().mean(1).to(logits) + carrier - carrier.detach()
        return value


class RevivedCNN(SmallCNN):
    """``small_cnn`` whose dead channels get fresh weights when it starts from another run's.

    A channel is dead if it is 0 behind its ReLU at all places of up to 2,000 training images. Its
    incoming weights and bias are those with which this network was made; what leads on from it
    stays. It is done once, as ``init_from`` is read.
    """

    _images: Tensor | None = None

    def initialize_from(self, images: Tensor) -> None:
        """Keep ``(N, C, H, W)`` training images for the moment when weights are loaded."""
        self._images = images

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **more: Any) -> Any:
        """Load weights; the first time, revive the channels that are dead with them."""
        fresh = {name: value.clone() for name, value in self.state_dict().items()}
        loaded = super().load_state_dict(state_dict, *args, **more)
        images, self._images = self._images, None
        if images is None:
            return loaded
        with torch.no_grad():
            # A first layer's fresh channels reach the second before that is looked at.
            for name in [n for n, part in self.features.named_children() if _convolves(part)]:
                dead = dead_channels(self, images)[name]
                for part in ("weight", "bias"):
                    self.get_parameter(f"features.{name}.{part}")[dead] = fresh[
                        f"features.{name}.{part}"
                    ][dead]
        return loaded


def dead_channels(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return, by a convolution's place, which of its channels are 0 behind ReLU on all images.

    >>> model, images = SmallCNN((1, 12, 12), 2, width=2), torch.rand(3, 1, 12, 12)
    >>> _ = nn.init.constant_(model.features[0].bias, -9.0)
    >>> {place: dead.tolist() for place, dead in dead_channels(model, images).items()}["0"]
    [True, True]
    """
    dead, place, hidden = {}, "", images
    with torch.no_grad():
        for name, part in model.get_submodule("features").named_children():
            hidden = part(hidden)
            if _convolves(part):
                place = name
            elif isinstance(part, nn.ReLU):
                dead[place] = hidden.amax(dim=(0, 2, 3)) <= 0
    return dead


def _convolves(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv2d)
