"""The accuracy of the best epoch, chosen on wrong labels or on right ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from losslab.data.splits import check_noise, noisy_labels
from losslab.diagnostics.view import Diagnostic, View
from losslab.seeding import generator
from losslab.types import Finding, Scalars


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Diagnostic):
    """Accuracy of the epoch that is chosen on held-back labels as wrong as the training labels.

    Where training labels are wrong, there are no clean ones to choose by. Every ``one_in``-th
    validation image is used to choose the epoch; the others, with clean labels, measure what the
    choice is worth. With the labels of the choosing images made ``noisy``, or left ``clean``:

    - ``<labels>/accuracy``: on the choosing images;
    - ``<labels>/best/accuracy``: the highest of it so far, including before training;
    - ``<labels>/stopped/accuracy``: on the other images at that epoch, the first of equals.

    ``held_out/accuracy`` is that on the other images now. The best epoch is read from the
    recorded numbers, so a resumed run keeps it, and the key in the configuration must be
    ``early_stopping``.

    Reading: ``stopped`` less ``held_out`` at the end is the cost of training further. With a share
    s of symmetric noise an accuracy a on clean labels is (1 − s) a + s (1 − a)/(K − 1) on noisy
    ones, on average: the order is kept while s < (K − 1)/K, and only the sampling noise grows (Chen
    et al. 2021, *Robustness of accuracy metric and its inspirations in learning with noisy
    labels*).

    Attributes:
        label_noise: Share of the choosing labels that is made wrong.
        noise_kind: As of the training labels.
        one_in: One in this many validation images is used to choose, ≥ 2.
    """

    label_noise: float = 0.0
    noise_kind: str = "symmetric"
    one_in: int = 5

    def __post_init__(self) -> None:
        check_noise(self.label_noise, self.noise_kind)
        if type(self.one_in) is not int or self.one_in < 2:
            raise ValueError(f"one_in={self.one_in}; give a whole number of images ≥ 2")

    def measure(self, view: View) -> Finding:
        """Return accuracies in [0, 1]; nothing for a validation part of one image."""
        if view.val is None or len(view.val.labels) < 2:
            return Finding({}, {})
        predicted, labels = view.val.logits.argmax(1).cpu(), view.val.labels.cpu()
        chooses = torch.arange(len(labels)) % self.one_in == 0
        clean = labels[chooses]
        noisy = noisy_labels(
            clean,
            share=self.label_noise,
            kind=self.noise_kind,
            num_classes=view.val.logits.shape[1],
            generator=generator(0, "early_stopping"),
        )
        held_out = _accuracy(predicted[~chooses], labels[~chooses])
        scalars: Scalars = {"held_out/accuracy": held_out}
        for name, choosing_labels in (("noisy", noisy), ("clean", clean)):
            accuracy = _accuracy(predicted[chooses], choosing_labels)
            best, stopped = (
                view.recorded.get(f"why/early_stopping/{name}/{kind}/accuracy", -1.0)
                for kind in ("best", "stopped")
            )
            if accuracy > best:
                best, stopped = accuracy, held_out
            scalars |= {
                f"{name}/accuracy": accuracy,
                f"{name}/best/accuracy": best,
                f"{name}/stopped/accuracy": stopped,
            }
        return Finding(scalars, {})


def _accuracy(predicted: Tensor, labels: Tensor) -> float:
    return (predicted == labels).double().mean().item()
