"""Cross-entropy, KL divergence and negative log-likelihood: three names for one gradient."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction, checked, prepare


class Decomposition(NamedTuple):
    """Cross-entropy and its two parts, H(y, p) = H(y) + KL(y‖p), in nats.

    Attributes:
        cross_entropy: ``(N,)`` H(y, p).
        entropy: ``(N,)`` H(y), which no training lowers.
        kl_divergence: ``(N,)`` KL(y‖p), which training can bring to 0.
    """

    cross_entropy: Tensor
    entropy: Tensor
    kl_divergence: Tensor


class CrossEntropy(Loss):
    """Cross-entropy of the softmax: −Σ_i y_i log p_i, p = softmax(z).

    No half, no 1/K, natural logarithm. With label smoothing ε, y becomes (1 − ε) y + ε/K.

    - Gradient: p − y. It is largest where the network is most wrong.
    - Range: [0, ∞), in nats; for soft or smoothed targets at least H(y).
    - Convex in the logits: the Hessian diag(p) − ppᵀ has no negative eigenvalue.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for ε, ``label_smoothing``, outside [0, 1).

    Source: Goodfellow, Bengio and Courville 2016, *Deep Learning*, §6.2.2.3; smoothing: Szegedy et
    al. 2016, *Rethinking the Inception architecture*, §7.

    >>> CrossEntropy()(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # log 2: nothing known yet
    tensor(0.6931)
    """

    def __init__(self, label_smoothing: float = 0.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        fits = 0.0 <= label_smoothing < 1.0
        self.label_smoothing = checked(
            "label_smoothing", label_smoothing, fits=fits, allowed="0 ≤ ε < 1: 0.1 is usual"
        )

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.cross_entropy(logits, target, label_smoothing=self.label_smoothing)

    def decompose(self, logits: Tensor, target: Tensor) -> Decomposition:
        """Return cross-entropy, the entropy of the (smoothed) target, and the divergence.

        Each is computed on its own, so that their sum is a check.

        >>> parts = CrossEntropy(0.2).decompose(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        >>> [round(part.item(), 4) for part in parts]
        [0.3269, 0.3251, 0.0018]
        """
        total = self.per_example(logits, target)
        logits, target = prepare(logits, target)
        num_classes = logits.shape[1]
        y = nn.functional.one_hot(target, num_classes) if target.dim() == 1 else target
        uniform = logits.new_full((), 1.0 / num_classes)
        smoothed = torch.lerp(y.to(logits.dtype), uniform, self.label_smoothing)
        # Unlike information.entropy, unchecked: a check would make the CPU wait for the GPU.
        entropy = torch.special.entr(smoothed).sum(-1)
        return Decomposition(total, entropy, functional.kl_divergence(logits, smoothed))


class KLDivergence(Loss):
    """Kullback–Leibler divergence of the softmax from the target: Σ_i y_i log(y_i/p_i).

    Cross-entropy less the target's entropy H(y), with 0·log 0 = 0. H(y) does not depend on the
    network, so the gradient, and with it the training, is that of :class:`CrossEntropy`; for class
    indices H(y) = 0 and the values are equal to the bit. torch's reduction ``"batchmean"`` is
    ``"mean"`` here.

    - Gradient: p − y.
    - Range: [0, ∞), in nats; 0 at p = y, where rounding may leave it at −10⁻⁷ in float32. Convex in
      the logits.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Kullback and Leibler 1951, *On information and sufficiency*.

    >>> KLDivergence()(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor(0.)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.kl_divergence(logits, target)


class NegativeLogLikelihood(Loss):
    """Negative log-likelihood of the labels: −log p_y, p = softmax(z).

    The network's softmax is read as the probability of each label; the likelihood of a data set is
    the product over its examples, and its negative logarithm the sum of these terms. Maximising
    the one is minimising the other, which is :class:`CrossEntropy` with one-hot targets. Unlike
    ``torch.nn.NLLLoss`` it takes logits and applies log-softmax itself.

    - Gradient: p − y, y one-hot.
    - Range: [0, ∞), in nats. Convex in the logits.
    - Soft targets are observed label frequencies: −Σ_i y_i log p_i.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Goodfellow, Bengio and Courville 2016, *Deep Learning*, §5.5.

    >>> NegativeLogLikelihood()(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([2]))  # log 3
    tensor(1.0986)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.cross_entropy(logits, target)


class UnnormalizedCrossEntropy(Loss):
    """Cross-entropy of scores that do not sum to 1: −Σ_i y_i log a_i, a = exp(z) or sigmoid(z).

    A demonstration of what softmax is for, not a way to train: nothing lowers the scores of the
    wrong classes, so saying yes to every class is best. exp(z) is softmax without its division.

    - Gradient: −y for exp, however right the network is already; −y ∘ (1 − σ(z)) for sigmoid.
    - Range: (−∞, ∞) for exp, −z_y itself, without a minimum; [0, ∞) for sigmoid. Convex in the
      logits (for exp linear).
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for an ``activation`` that is neither ``"exp"`` nor
      ``"sigmoid"``.

    Source: A. Garg 2020, *Cross entropy*, on why a score must be made a distribution.

    >>> UnnormalizedCrossEntropy()(torch.tensor([[1000.0, 1000.0]]), torch.tensor([0]))
    tensor(-1000.)
    """

    def __init__(
        self, activation: functional.Unnormalized = "exp", *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        functional.check_unnormalized(activation)
        self.activation: functional.Unnormalized = activation

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.unnormalized_cross_entropy(logits, target, activation=self.activation)
