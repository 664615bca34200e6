"""Classification metrics as sums and counts, divided once."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

ECE_BINS = 15


@dataclass(frozen=True)
class ClassificationSums:
    """Sums from which accuracy, NLL, Brier score and ECE follow; addable over batches.

    Probabilities are the softmax of the network's outputs under every loss, also under those
    that were trained on raw scores, so that the numbers are comparable.

    Attributes:
        examples: ``()`` number of examples N.
        correct: ``()`` examples whose largest logit is the label's.
        nll: ``()`` Σ −log p_y, in nats.
        brier: ``()`` Σ Σ_k (p_k − y_k)².
        bins: ``(3, ECE_BINS)`` count, Σ confidence and correct ones by bin of confidence.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> sums = ClassificationSums.of(logits, torch.tensor([0, 0]))
    >>> {name: round(value, 3) for name, value in (sums + sums).scalars().items()}
    {'accuracy': 0.5, 'nll': 0.72, 'brier': 0.549, 'ece': 0.425}
    """

    examples: Tensor
    correct: Tensor
    nll: Tensor
    brier: Tensor
    bins: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> "ClassificationSums":
        """Return the sums over one batch.

        Args:
            logits: ``(N, K)``; non-finite ones give non-finite NLL, Brier score and ECE.
            labels: ``(N,)`` int64.
        """
        # Sums in float64: adding 60,000 float32 numbers would lose digits that intervals need.
        # MPS has no float64.
        wide = torch.float32 if logits.device.type == "mps" else torch.float64
        log_probability = logits.to(wide).log_softmax(dim=1)
        probability = log_probability.exp()
        true = labels.unsqueeze(1)
        correct = (logits.argmax(dim=1) == labels).to(wide)
        # Σ (p − y)² = Σ p² − 2 p_y + 1 for a one-hot y
        brier = probability.square().sum(dim=1) - 2 * probability.gather(1, true).squeeze(1) + 1
        confidence = probability.amax(dim=1)
        # Bins ((m−1)/M, m/M]: a confidence of exactly 1, which a saturated softmax reaches,
        # belongs into the last one.
        index = (confidence.nan_to_num() * ECE_BINS).ceil().long().sub(1).clamp(0, ECE_BINS - 1)
        # A matrix product, because scatter_add is not deterministic on CUDA.
        membership = one_hot(index, ECE_BINS).to(wide)
        per_example = torch.stack([torch.ones_like(confidence), confidence, correct])
        return cls(
            examples=per_example[0].sum(),
            correct=correct.sum(),
            nll=-log_probability.gather(1, true).sum(),
            brier=brier.sum(),
            bins=per_example @ membership,
        )

    def __add__(self, other: "ClassificationSums") -> "ClassificationSums":
        """Return the sums over both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return ClassificationSums(*(a + b for a, b in pairs))

    def scalars(self) -> dict[str, float]:
        """Return ``accuracy``, ``nll``, ``brier`` and ``ece`` (15 equal-width bins, in [0, 1]).

        ECE = Σ_m |Σ_{i in m} (correct_i − confidence_i)| / N (Guo et al. 2017).
        """
        gap = (self.bins[2] - self.bins[1]).abs().sum()
        values = torch.stack([self.correct, self.nll, self.brier, gap]) / self.examples
        return dict(zip(("accuracy", "nll", "brier", "ece"), values.tolist(), strict=True))
