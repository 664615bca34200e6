"""Measures of an epoch's training batches: when learning starts, and which noise is learned."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from losslab.diagnostics.view import Diagnostic, View
from losslab.types import Finding, TrainingEpoch

WINDOW = 10
"""Successive steps of one epoch that are tested together; fewer in a shorter epoch."""

FALSE_ALARM = 1e-6
"""Bound on the probability that a window is above chance by chance."""


@dataclass(frozen=True, kw_only=True)
class Plateau(Diagnostic):
    """Updates made before the training accuracy rises above chance.

    Chance c is the frequency of the epoch's most frequent label, the accuracy of always predicting
    it. Without knowledge, n predictions are right at a rate of a > c or more with probability at
    most exp(−n KL(a‖c)), KL(a‖c) = a log(a/c) + (1 − a) log((1 − a)/(1 − c)), also where batches
    are drawn without replacement (Chernoff's bound; Hoeffding 1963). Chance is left in the
    first window of :data:`WINDOW` steps with a > c and exp(−n KL(a‖c)) < :data:`FALSE_ALARM`: a
    false alarm in 10,000 windows has a probability below 1%. With batches of 64 and ten equal
    classes that takes a = 0.17. (Three standard errors, a = 0.136, are passed by chance in about
    every other run of 1,000 steps.)

    - ``left``: 1 once it left, else 0;
    - ``steps``: updates made before the last batch of that window. Absent until it left.

    The accuracy is that of each training batch before its update, in training mode, with the
    labels trained on. Once found, ``steps`` is read from the recorded ``why/plateau/steps``, so a
    resumed run keeps it, and the key in the configuration must be ``plateau``.

    Reading: the least is 9, for a network that learns at once. Squared error after softmax may
    stay at chance for long where cross-entropy does not: from small logits because its gradient
    is K²/2 times smaller (mechanism C, scale of the gradient), from large ones because it vanishes
    (mechanism A, attenuation by softmax).
    """

    every: int | None = field(default=1, init=False)
    sometimes = ("steps",)

    def measure(self, view: View) -> Finding:
        """Return a flag and a number of steps ≥ 0; nothing before the first epoch."""
        steps = view.recorded.get("why/plateau/steps")
        if steps is None:
            if view.epoch is None:
                return Finding({}, {})
            steps = step_above_chance(view.epoch)
        return Finding({"left": 0.0} if steps is None else {"left": 1.0, "steps": steps}, {})


def step_above_chance(epoch: TrainingEpoch) -> float | None:
    """Return the updates made before the first window above chance ended, if there is one."""
    logits, labels = epoch.predictions
    labels = labels.cpu()
    correct = (logits.argmax(1).cpu() == labels).double()
    chance = labels.bincount().max().item() / len(labels)
    missing = -len(labels) % epoch.batch_size  # in the last batch
    hits = pad(correct, (0, missing)).reshape(-1, epoch.batch_size).sum(1)
    sizes = torch.full_like(hits, epoch.batch_size)
    sizes[-1] -= missing
    window = min(WINDOW, len(hits))
    examples = sizes.unfold(0, window, 1).sum(1)
    accuracy = hits.unfold(0, window, 1).sum(1) / examples
    evidence = examples * _divergence(accuracy, chance)
    above_chance = (accuracy > chance) & (evidence > -math.log(FALSE_ALARM))
    if not bool(above_chance.any()):
        return None
    return float(epoch.first_step + int(above_chance.int().argmax()) + window - 1)


def _divergence(accuracy: Tensor, chance: float) -> Tensor:
    """Return KL(a‖c) of two Bernoulli distributions, in nats."""
    right = torch.xlogy(accuracy, accuracy / chance)
    return right + torch.xlogy(1 - accuracy, (1 - accuracy) / (1 - chance))


class FlippedLabels(Diagnostic):
    """Whether wrong labels are memorised, under ``data.label_noise``.

    - ``memorised``: share of the examples with a flipped label whose prediction is that label;
    - ``corrected``: share of them whose prediction is the label before the flip;
    - ``clean_accuracy``: accuracy on the examples whose label was not flipped.

    The predictions are those of the epoch's training batches, each before its update, in training
    mode and with augmentation: all N training examples, where a probe would hold some dozens of
    flipped ones (a standard error of 7 points). What counts as memorised was learned
    in an earlier epoch. As the learning rate goes to 0 at the end of training, the last epoch's
    numbers become those of the final weights. Absent without label noise and before the first
    epoch.

    Reading: a network that has learned nothing memorises 1/K. A robust loss keeps ``memorised`` low
    and ``corrected`` high for long; both lower the training accuracy, so judge by the test part,
    whose labels are clean.
    """

    sometimes = ("memorised", "corrected", "clean_accuracy")

    def measure(self, view: View) -> Finding:
        """Return shares in [0, 1]."""
        if view.epoch is None:
            return Finding({}, {})
        (logits, labels), clean = view.epoch.predictions, view.epoch.clean_labels
        flipped = labels != clean
        if not bool(flipped.any()):
            return Finding({}, {})
        predicted = logits.argmax(1)
        shares = {
            "memorised": (predicted == labels)[flipped],
            "corrected": (predicted == clean)[flipped],
            "clean_accuracy": (predicted == labels)[~flipped],
        }
        return Finding(
            {name: hits.float().mean().item() for name, hits in shares.items() if len(hits)}, {}
        )
