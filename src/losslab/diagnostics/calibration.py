"""Whether confidence can be believed, before and after temperature scaling."""

from dataclasses import dataclass

from torch import Tensor

from losslab.diagnostics.view import Diagnostic, View
from losslab.metrics import ClassificationSums, adaptive_ece, fit_temperature, reliability
from losslab.types import Finding


@dataclass(frozen=True, kw_only=True)
class Calibration(Diagnostic):
    """Calibration of the test predictions, as they are and with logits divided by T.

    T minimises the NLL of the validation part (:func:`losslab.metrics.fit_temperature`), so the
    test part does not choose it. Probabilities are the softmax of the outputs under every loss. Raw
    scores, which squared error draws to 0 and 1, are far from confident (e/(e + K − 1) at most,
    0.23 for K = 10) unless divided by a T of about 0.1.

    Each is measured before scaling and after, with ``_scaled``:

    - ``ece``: Σ_m |Σ_{i in m} (correct_i − confidence_i)| / N over 15 bins of equal width;
    - ``adaptive_ece``: the same over 15 bins of equally many examples; both in [0, 1];
    - ``nll``: mean −log p_y, in nats; ``brier``: mean Σ_k (p_k − y_k)², in [0, 2].

    ``temperature`` is T, in units of the logits: above 1 for an overconfident network. The curves
    ``reliability`` and ``reliability_scaled`` are confidence, accuracy and count by bin.

    Reading: accuracy does not change with T. ``_scaled`` has what scaling cannot correct, so
    compare losses there, too.

    Raises:
        ValueError: ``every`` is not ``None``.

    Source: Guo et al. 2017, *On calibration of modern neural networks*.
    """

    every: None = None
    sometimes = ("temperature", "ece_scaled", "adaptive_ece_scaled", "nll_scaled", "brier_scaled")

    def __post_init__(self) -> None:
        if self.every is not None:
            raise ValueError(f"every={self.every}; give null: test predictions come at the end")

    def measure(self, view: View) -> Finding:
        """Return the scores of the test part; nothing where a logit is not finite."""
        if view.val is None or view.test is None or not view.test.logits.isfinite().all():
            return Finding({}, {})
        logits, labels = view.test.logits.cpu().double(), view.test.labels.cpu()
        plain = _scores(logits, labels, suffix="")
        temperature = fit_temperature(*view.val)
        if temperature is None:
            return plain
        scaled = _scores(logits / temperature, labels, suffix="_scaled")
        return Finding(
            {"temperature": temperature} | plain.scalars | scaled.scalars,
            plain.curves | scaled.curves,
        )


def _scores(logits: Tensor, labels: Tensor, *, suffix: str) -> Finding:
    sums = ClassificationSums.of(logits, labels)
    scalars = sums.scalars() | {"adaptive_ece": adaptive_ece(logits, labels)}
    del scalars["accuracy"]
    return Finding(
        {f"{name}{suffix}": value for name, value in scalars.items()},
        {f"reliability{suffix}": reliability(sums)},
    )
