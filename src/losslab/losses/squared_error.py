"""Squared error against one-hot targets, on raw outputs or after softmax or sigmoid."""

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction, positive


class SquaredError(Loss):
    """Squared error: Σ_i (1 + (k − 1) y_i) (a_i − M y_i)², divided by K for ``"mean"``.

    a = softmax(z), sigmoid(z) or z itself; k weighs the true class and M is its target. No half.
    With k = M = 1 it is ‖a − y‖², or ‖a − y‖²/K, and has these names:

    =================  ==============  ===============  =========================================
    config             activation      class_reduction  per example
    =================  ==============  ===============  =========================================
    ``mse``            ``"none"``      ``"mean"``       ‖z − y‖²/K (``nn.MSELoss`` with one-hot)
    ``mse_softmax``    ``"softmax"``   ``"mean"``       ‖p − y‖²/K
    ``brier``          ``"softmax"``   ``"sum"``        ‖p − y‖², the Brier score
    ``mse_sigmoid``    ``"sigmoid"``   ``"mean"``       ‖σ(z) − y‖²/K
    ``rescaled_mse``   ``"none"``      ``"mean"``       [k (z_y − M)² + Σ_{i≠y} z_i²]/K
    ``mse_one_sided``  ``"none"``      ``"mean"``       [max(0, 1 − z_y)² + Σ_{i≠y} max(0, z_i)²]/K
    =================  ==============  ===============  =========================================

    The last, ``one_sided=True``, does not push back a score that overshoots its target. It is
    the squared hinge of K support-vector machines, each class against the rest, with targets 0 and
    M in place of their −1 and 1: for k = 1 it is M²/4 times Σ_i max(0, 1 − t_i s_i)² with
    t = 2y − 1 and s = 2z/M − 1.

    - Gradient: with u_i = 2 (1 + (k − 1) y_i) (a_i − M y_i), over K for
      ``"mean"``: raw u; sigmoid u ∘ a ∘ (1 − a); softmax p ∘ (u − ⟨p, u⟩1). With k = M = 1 and
      r = p − y the last is 2 p ∘ (r − ⟨p, r⟩1): it vanishes where p is confident, right or wrong.
      One-sided: u_y where z_y < M and u_i where z_i > 0 (i ≠ y), else 0.
    - Range with k = M = 1 for ``"sum"``: raw [0, ∞); softmax [0, 2]; sigmoid [0, K]. 0 at a = M y;
      one-sided wherever z_y ≥ M and the others are ≤ 0.
    - Convex in the logits: on raw outputs only, also one-sided. After softmax it is concave where a
      confident network is wrong.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for an argument out of range, and for one-sided with a
      soft target, since which side is right depends on the true class.

    Args:
        activation: ``"softmax"``, ``"sigmoid"`` or ``"none"`` (raw outputs).
        class_reduction: ``"mean"`` or ``"sum"`` over the K classes.
        true_class_weight: k > 0.
        true_class_target: M > 0.
        one_sided: Whether scores beyond their targets cost nothing; with ``"none"`` only.

    Source: Brier 1950, *Verification of forecasts expressed in terms of probability*; k and M: Hui
    and Belkin 2021, *Evaluation of neural architectures trained with square loss vs cross-entropy
    in classification tasks* (formula second-hand); one-sided: Tang 2013, *Deep learning using
    linear support vector machines* (from memory), there with −1 and 1.

    >>> import torch
    >>> logits, label = torch.tensor([[2.0, 0.0, 0.0, 1.0]]), torch.tensor([0])
    >>> SquaredError("none")(logits, label)  # ((2 − 1)² + 1²)/4
    tensor(0.5000)
    >>> SquaredError("none", true_class_weight=5.0, true_class_target=3.0)(logits, label)
    tensor(1.5000)
    >>> SquaredError("none", one_sided=True)(logits, label)  # z_y = 2 is right enough: 1²/4
    tensor(0.2500)
    """

    def __init__(
        self,
        activation: functional.Activation = "softmax",
        class_reduction: functional.ClassReduction = "mean",
        *,
        true_class_weight: float = 1.0,
        true_class_target: float = 1.0,
        one_sided: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        functional.check_squared_error(activation, class_reduction, one_sided)
        self.activation: functional.Activation = activation
        self.class_reduction: functional.ClassReduction = class_reduction
        self.true_class_weight = positive("true_class_weight", true_class_weight)
        self.true_class_target = positive("true_class_target", true_class_target)
        self.one_sided = one_sided

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.squared_error(
            logits,
            target,
            activation=self.activation,
            class_reduction=self.class_reduction,
            true_class_weight=self.true_class_weight,
            true_class_target=self.true_class_target,
            one_sided=self.one_sided,
        )
