"""What the best epoch would have given, chosen on wrong labels or on right ones."""

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

    Who has wrong labels has no clean ones to choose by. Of the validation part every ``one_in``-th
    image chooses; the others, with clean labels, tell what the choice is worth. For the choosing
    labels made ``noisy``, and for them left ``clean``:

    - ``<labels>/accuracy``: on the choosing images;
    - ``<labels>/best/accuracy``: the highest of it so far, before training included;
    - ``<labels>/stopped/accuracy``: on the other images at that epoch, the first of equals.

    ``held_out/accuracy`` is that on the other images now. What the best epoch was is read from the
    recorded numbers, so a resumed run keeps it, and the key in the configuration must be
    ``early_stopping``.

    Reading: ``stopped`` less ``held_out`` at the end is what training on cost. With a share s of
    symmetric noise an accuracy a on clean labels is (1 − s) a + s (1 − a)/(K − 1) on noisy ones, on
    average: the order is kept while s < (K − 1)/K, and only the noise of few examples grows (Chen
    et al. 2021, *Robustness of accuracy metric and its inspirations in learning with noisy
    labels*).

    Attributes:
        label_noise: Share of the choosing labels that is made wrong.
        noise_kind: As of the training labels.
        one_in: Of so many validation images one chooses, from 2 up.
    """

    label_noise: float = 0.0
    noise_kind: str = "symmetric"
    one_in: int = 5

    def __post_init__(self) -> None:
        check_noise(self.label_noise, self.noise_kind)
        if type(self.one_in) is not int or self.one_in < 2:
            raise ValueError(f"one_in={self.one_in}; give a whole number of images from 2 up")

    def measure(self, view: View) -> Finding:
        """Return accuracies in [0, 1]; nothing for a validation part of one image."""
        if view.val is None or len(view.val.labels) < 2:
            return Finding({}, {})
        answers, labels = view.val.logits.argmax(1).cpu(), view.val.labels.cpu()
        chooses = torch.arange(len(labels)) % self.one_in == 0
        clean, num_classes = labels[chooses], view.val.logits.shape[1]
        noisy = noisy_labels(
            clean,
            share=self.label_noise,
            kind=self.noise_kind,
            num_classes=num_classes,
            generator=generator(0, "early_stopping"),
        )
        now = _accuracy(answers[~chooses], labels[~chooses])
        found: Scalars = {"held_out/accuracy": now}
        for name, given in (("noisy", noisy), ("clean", clean)):
            accuracy = _accuracy(answers[chooses], given)
            tags = (
                f"why/early_stopping/{name}/best/accuracy",
                f"why/early_stopping/{name}/stopped/accuracy",
            )
            best, stopped = (view.recorded.get(tag, -1.0) for tag in tags)
            if accuracy > best:
                best, stopped = accuracy, now
            found |= {
                f"{name}/accuracy": accuracy,
                f"{name}/best/accuracy": best,
                f"{name}/stopped/accuracy": stopped,
            }
        return Finding(found, {})


def _accuracy(answers: Tensor, labels: Tensor) -> float:
    return (answers == labels).double().mean().item()
