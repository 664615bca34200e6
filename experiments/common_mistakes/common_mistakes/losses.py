"""Three losses as people have them by mistake; to be looked at, not to be used."""

import torch
from torch import Tensor, nn

from losslab.losses import Loss
from losslab.losses.base import prepare
from losslab.losses.functional import cross_entropy


def one_hot(logits: Tensor, target: Tensor) -> Tensor:
    """Return the target as ``(N, K)`` probabilities of the logits' type."""
    if target.dim() == 2:
        return target
    return torch.zeros_like(logits).scatter(1, target.unsqueeze(1), 1.0)


class SoftmaxTwice(Loss):
    """Cross-entropy that gets probabilities for logits: −log softmax(p)_y, p = softmax(z).

    This is ``nn.CrossEntropyLoss`` behind a network that ends in a softmax. The largest value of
    softmax(p)_y is e/(e + K − 1), so that the loss cannot fall below log(1 + (K − 1)/e).

    >>> sure = torch.tensor([[100.0] + 9 * [0.0]])
    >>> SoftmaxTwice()(sure, torch.tensor([0]))  # right, and as sure as can be
    tensor(1.4612)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        logits, target = prepare(logits, target)
        return cross_entropy(logits.softmax(1), target)


class SkippedSoftmax(Loss):
    """What darknet calls "sse": the value is ‖p − y‖², p = softmax(z), the gradient p − y.

    The gradient of ½‖p − y‖² in p is passed on to the logits as if there were no softmax between.
    p − y is the gradient of cross-entropy in the logits.

    >>> z = torch.zeros(1, 4, requires_grad=True)
    >>> loss = SkippedSoftmax()(z, torch.tensor([0]))
    >>> round(loss.item(), 4), torch.autograd.grad(loss, z)[0].tolist()
    (0.75, [[-0.75, 0.25, 0.25, 0.25]])
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        logits, target = prepare(logits, target)
        residuals = (logits.softmax(1) - one_hot(logits, target)).detach()
        carrier = (residuals * logits).sum(1)  # its gradient is p − y
        return residuals.square().sum(1) + carrier - carrier.detach()


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of K yes-or-no questions: −Σ_i [y_i log a_i + (1 − y_i) log(1 − a_i)].

    a = sigmoid(z). Keras and torch divide by K.

    >>> BinaryCrossEntropy()(torch.zeros(1, 10), torch.tensor([3]))  # 10 log 2
    tensor(6.9315)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        logits, target = prepare(logits, target)
        y = one_hot(logits, target)
        return nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1)
