"""Alternatives to cross-entropy and squared error: reweighted, bounded, normalised, hinge."""

import math

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction, checked, positive


class Focal(Loss):
    """Focal loss: −(1 − p_y)^γ log p_y, without the class weights α of its source.

    Cross-entropy that gives less weight to what is already right; ``gamma`` = 0 gives
    :class:`CrossEntropy`, and 2 is usual.

    - Gradient: with c_i = (1 − p_i)^γ − γ p_i (1 − p_i)^(γ−1) log p_i it is c_y (p − y) for class
      indices, cross-entropy's times c_y; in general ⟨y, c⟩ p − y ∘ c.
    - Range: [0, ∞), in nats. Convex in the logits only for γ = 0.
    - Soft targets give −Σ_i y_i (1 − p_i)^γ log p_i, whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for γ < 0 or not finite.

    Source: Lin et al. 2017, *Focal loss for dense object detection*.

    >>> import torch
    >>> Focal(gamma=2.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # ¼ log 2
    tensor(0.1733)
    """

    def __init__(self, gamma: float = 2.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        fits = math.isfinite(gamma) and gamma >= 0.0
        self.gamma = checked("gamma", gamma, fits=fits, allowed="a finite γ ≥ 0: 2 is usual")

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.focal(logits, target, gamma=self.gamma)


class Squentropy(Loss):
    """Squentropy: −log p_y + (1/(K − 1)) Σ_{i≠y} z_i², p = softmax(z).

    The second term holds the scores of the wrong classes near 0, which fixes the shift that
    softmax leaves free.

    - Gradient: (p − y) + (2/(K − 1)) (1 − y) ∘ z.
    - Range: [0, ∞). Convex in the logits.
    - Soft targets give −Σ_i y_i log p_i + (1/(K − 1)) Σ_i (1 − y_i) z_i².
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Hui, Belkin and Wright 2023, *Cut your losses with squentropy*.

    >>> import torch
    >>> Squentropy()(torch.tensor([[5.0, 1.0, -2.0]]), torch.tensor([0]))  # 0.0190 + (1 + 4)/2
    tensor(2.5190)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.squentropy(logits, target)


class MeanAbsoluteError(Loss):
    """Absolute error after softmax: Σ_i |p_i − y_i|, for class indices 2 (1 − p_y).

    Summed over the classes, no 1/K, as in the literature on label noise.

    - Gradient: 2 p_y (p − y) for class indices; p ∘ (s − ⟨p, s⟩1) with s = sign(p − y) for soft
      targets. It vanishes where p_y does: examples that are badly wrong, whether mislabelled or
      only hard, are not learned.
    - Range: [0, 2]; 0 at p = y. Its sum over all K labels is constant, 2 (K − 1). Not convex in
      the logits.
    - Soft targets give the distance itself, not its expectation over labels drawn from y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Ghosh, Kumar and Sastry 2017, *Robust loss functions under label noise for deep neural
    networks*.

    >>> import torch
    >>> MeanAbsoluteError()(torch.tensor([[0.0, 0.0, 0.0, 0.0]]), torch.tensor([1]))  # 2 (1 − 1/4)
    tensor(1.5000)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.mean_absolute_error(logits, target)


class GeneralizedCrossEntropy(Loss):
    """Generalised cross-entropy: (1 − p_y^q)/q, between cross-entropy and absolute error.

    q → 0 gives :class:`CrossEntropy`; q = 1 gives 1 − p_y, half of :class:`MeanAbsoluteError` for
    class indices; 0.7 is usual.

    - Gradient: p_y^q (p − y) for class indices, cross-entropy's times p_y^q; in general
      ⟨y, p^q⟩ p − y ∘ p^q.
    - Range: [0, 1/q]; 0 at p_y = 1. Not convex in the logits.
    - Soft targets give Σ_i y_i (1 − p_i^q)/q, whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for q outside (0, 1].

    Source: Zhang and Sabuncu 2018, *Generalized cross entropy loss for training deep neural
    networks with noisy labels*.

    >>> import torch
    >>> GeneralizedCrossEntropy(q=0.5)(torch.zeros(1, 4), torch.tensor([1]))  # 2 (1 − √¼)
    tensor(1.)
    """

    def __init__(self, q: float = 0.7, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        allowed = "0 < q ≤ 1: 0.7 is usual, and the limit 0 is CrossEntropy"
        self.q = checked("q", q, fits=0.0 < q <= 1.0, allowed=allowed)

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.generalized_cross_entropy(logits, target, q=self.q)


class MulticlassHinge(Loss):
    """Multi-class hinge: Σ_{i≠y} max(0, z_i − z_y + 1), summed over the classes, no 1/K.

    The multi-class support-vector machine's loss, K times ``torch.nn.MultiMarginLoss``, which
    averages. It requires only that the true class lead every other by a margin of 1; the scores
    have no reading as probabilities.

    - Gradient: 1 for each class i ≠ y with z_i > z_y − 1, minus their number for y; elsewhere 0
      (also at the kink, where any slope from 0 to 1 is a subgradient).
    - Range: [0, ∞); 0 where every margin is at least 1. Convex in the logits, piecewise linear.
    - Shapes: logits ``(N, K)``, target ``(N,)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for soft targets, since a margin needs one true class.

    Source: Weston and Watkins 1999, *Support vector machines for multi-class pattern recognition*;
    cs231n, *Linear classification*.

    >>> import torch
    >>> MulticlassHinge()(torch.tensor([[3.0, 2.5, -1.0]]), torch.tensor([0]))
    tensor(0.5000)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.multiclass_hinge(logits, target)


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of each class against the rest: −log σ(z_y) − Σ_{i≠y} log σ(−z_i).

    Every class is a separate yes-or-no question, so the probabilities need not sum to 1. Summed
    over the classes, no 1/K: K times ``torch.nn.BCEWithLogitsLoss``, which averages.

    - Gradient: σ(z) − y, σ the sigmoid.
    - Range: [0, ∞), in nats. Convex in the logits.
    - Soft targets give −Σ_i y_i log σ(z_i) + (1 − y_i) log σ(−z_i), least at σ(z) = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Bishop 2006, *Pattern recognition and machine learning*, §4.3.2 (from memory); for
    image classifiers Beyer et al. 2020, *Are we done with ImageNet?* (from memory).

    >>> import torch
    >>> BinaryCrossEntropy()(torch.zeros(1, 3), torch.tensor([1]))  # 3 log 2
    tensor(2.0794)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.binary_cross_entropy(logits, target)


class LogitNormalization(Loss):
    """Cross-entropy of normalised logits: −log p_y, p = softmax(z/(τ‖z‖)).

    Only the direction of the logits counts: longer ones, which make a network more confident, gain
    nothing. At z = 0, which has no direction, the length is taken as 1.

    - Gradient: with u = z/‖z‖ and g = (p − y)/(τ‖z‖) it is g − ⟨u, g⟩ u, at a right angle to z.
    - Range: from log(1 + (K − 1) exp(−√(K/(K − 1))/τ)), above 0, to a little over √2/τ. Not convex
      in the logits.
    - Soft targets give −Σ_i y_i log p_i.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for a τ, ``temperature``, that is not above 0.

    Source: Wei et al. 2022, *Mitigating neural network overconfidence with logit normalization*
    (formula second-hand).

    >>> import torch
    >>> LogitNormalization(temperature=1.0)(torch.tensor([[0.0, 9.0]]), torch.tensor([1]))
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.04, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.temperature = positive("temperature", temperature)

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.logit_normalization(logits, target, temperature=self.temperature)


class PolyLoss(Loss):
    """Poly-1 loss: −log p_y + ε (1 − p_y), p = softmax(z).

    −log p_y is Σ_n (1 − p_y)^n/n; ε is added to the coefficient of the first term.

    - Gradient: (1 + ε p_y)(p − y) for class indices; in general with c = 1 + ε p it is
      ⟨y, c⟩ p − y ∘ c.
    - Range: [0, ∞). Convex in the logits for ε ≤ 1 only.
    - Soft targets give Σ_i y_i (ε (1 − p_i) − log p_i), whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for ε, ``epsilon``, below −1 or not finite.

    Source: Leng et al. 2022, *PolyLoss: a polynomial expansion perspective of classification loss
    functions* (formula second-hand).

    >>> import torch
    >>> PolyLoss(epsilon=2.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # log 2 + 2·½
    tensor(1.6931)
    """

    def __init__(self, epsilon: float = 1.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        fits = math.isfinite(epsilon) and epsilon >= -1.0
        self.epsilon = checked("epsilon", epsilon, fits=fits, allowed="a finite ε ≥ −1: choose one")

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.poly_loss(logits, target, epsilon=self.epsilon)


class SymmetricCrossEntropy(Loss):
    """Symmetric cross-entropy: −α log p_y − β Σ_i p_i log y_i, with log 0 = A: β |A| (1 − p_y).

    The reverse term rewards labels that are likely under the prediction, and is bounded. For class
    indices the loss is α times :class:`PolyLoss` with ε = β|A|/α, 40 by default.

    - Gradient: (α + β|A| p_y)(p − y) for class indices; in general α (p − y) − β p ∘ (l − ⟨p, l⟩1)
      with l = max(log y, A).
    - Range: [0, ∞). Not convex in the logits where β|A| > α.
    - Soft targets give −α Σ_i y_i log p_i − β Σ_i p_i max(log y_i, A).
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for α or β that is not above 0, or A that is not below.

    Args:
        alpha: α > 0, of cross-entropy.
        beta: β > 0, of the reverse.
        floor: A < 0, in place of log 0.

    Source: Wang et al. 2019, *Symmetric cross entropy for robust learning with noisy labels*
    (formula second-hand).

    >>> import torch
    >>> SymmetricCrossEntropy()(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # 0.0693 + 4·½
    tensor(2.0693)
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        floor: float = -4.0,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.alpha, self.beta = positive("alpha", alpha), positive("beta", beta)
        fits = math.isfinite(floor) and floor < 0.0
        self.floor = checked("floor", floor, fits=fits, allowed="a finite A < 0: −4 is usual")

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.symmetric_cross_entropy(
            logits, target, alpha=self.alpha, beta=self.beta, floor=self.floor
        )


class TaylorCrossEntropy(Loss):
    """Taylor cross-entropy: Σ_{n=1}^t (1 − p_y)^n/n, the first t terms of −log p_y.

    t = 1 gives 1 − p_y, half of :class:`MeanAbsoluteError` for class indices; t → ∞ gives
    :class:`CrossEntropy`.

    - Gradient: (1 − (1 − p_y)^t)(p − y) for class indices; in general with c = 1 − (1 − p)^t it is
      ⟨y, c⟩ p − y ∘ c.
    - Range: [0, 1 + ½ + … + 1/t]; 0 at p_y = 1. Not convex in the logits.
    - Soft targets give Σ_i y_i Σ_n (1 − p_i)^n/n, whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for t, ``order``, that is not a whole number ≥ 1.

    Source: Feng et al. 2020, *Can cross entropy loss be robust to label noise?* (formula
    second-hand).

    >>> import torch
    >>> TaylorCrossEntropy(order=2)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # ½ + ¼/2
    tensor(0.6250)
    """

    def __init__(self, order: int = 2, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        fits = order >= 1 and order % 1 == 0
        self.order = int(checked("order", order, fits=fits, allowed="a whole number t ≥ 1"))

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.taylor_cross_entropy(logits, target, order=self.order)


class BiTempered(Loss):
    """Bi-tempered logistic loss: −log_t1 p_y − (1 − Σ_i p_i^(2 − t1))/(2 − t1).

    p = exp_t2(z − λ), with the λ for which it sums to 1. log_t x = (x^(1 − t) − 1)/(1 − t) is
    bounded for t < 1, so that no example can cost more than 1/(1 − t1), and its inverse
    exp_t x = (1 + (1 − t) x)^(1/(1 − t)) has a heavy tail for t > 1. Both temperatures at their
    limit 1 give :class:`KLDivergence`, cross-entropy for class indices. λ comes from Newton's
    method rather than the fixed point of the source, and is exact to rounding.

    - Gradient: with v = p^(t2 − t1) ∘ (p − y) and e = p^t2/Σ_i p_i^t2 it is v − e Σ_i v_i.
    - Range: [0, 1/(1 − t1)]. Not convex in the logits.
    - Soft targets give Σ_i y_i (log_t1 y_i − log_t1 p_i) − (y_i^(2 − t1) − p_i^(2 − t1))/(2 − t1),
      a Bregman divergence, 0 at p = y, where rounding may leave it at −10⁻⁷ in float32.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and unless 0 ≤ t1 < 1 < t2 ≤ 4.

    Source: Amid et al. 2019, *Robust bi-tempered logistic loss based on Bregman divergences*
    (formula second-hand).

    >>> import torch
    >>> BiTempered(t1=0.5, t2=1.5)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor(0.3905)
    """

    def __init__(self, t1: float = 0.8, t2: float = 1.2, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.t1 = checked("t1", t1, fits=0.0 <= t1 < 1.0, allowed="0 ≤ t1 < 1: choose one")
        self.t2 = checked("t2", t2, fits=1.0 < t2 <= 4.0, allowed="1 < t2 ≤ 4: choose one")

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.bi_tempered(logits, target, t1=self.t1, t2=self.t2)
