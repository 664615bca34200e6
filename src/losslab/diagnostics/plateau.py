"""How long a network knows nothing: steps until the training accuracy leaves chance."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from losslab.diagnostics.view import View
from losslab.types import Finding, TrainingEpoch

WINDOW = 10
"""Successive steps of one epoch whose batches are looked at together; fewer in a shorter epoch."""

FALSE_ALARM = 1e-6
"""Bound on the probability that one window looks like knowledge by chance."""


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """Updates made before the training accuracy is above chance, once and for all.

    Chance c is the frequency of the most frequent label in the epoch, the accuracy of a network
    that always answers it. A network that knows no more gets n answers right at a rate of a or
    more with probability at most exp(−n KL(a‖c)), KL(a‖c) = a log(a/c) + (1 − a) log((1 − a)/(1 −
    c)), whatever n and c, also where batches are drawn without replacement (Chernoff's bound;
    Hoeffding 1963). It has left chance in the first window of :data:`WINDOW` steps with a > c and
    exp(−n KL(a‖c)) < :data:`FALSE_ALARM`: over 10,000 windows a false alarm has a probability
    below 1%. With batches of 64 and ten equal classes that takes a = 0.17. (Three standard errors,
    a = 0.136, are passed by chance in about every other run of 1,000 steps.)

    - ``left``: 1 once it left, else 0;
    - ``steps``: updates made before the last batch of that window. Absent until it left.

    The accuracy is that of each training batch before its update, in training mode, with the
    labels trained on. ``steps`` stays what it was found to be, also in a run that is resumed: it
    is taken from the recorded ``why/plateau/steps``, so the key in the configuration must be
    ``plateau``, and it looks at every epoch.

    Reading: the least is 9, for a network that learns at once. Squared error after softmax may
    sit on chance for long where cross-entropy does not: from small logits because its gradient
    is K²/2 times smaller (mechanism C), from large ones because it vanishes (mechanism A).

    Cost: O(N·K) an epoch for N training examples, one argmax; no pass through the network.

    Attributes:
        every: Each epoch.
    """

    every: ClassVar[int] = 1

    def measure(self, view: View) -> Finding:
        """Return a flag and a number of steps from 0 up; nothing before the first epoch."""
        earlier = view.recorded.get("why/plateau/steps")
        if earlier is not None:
            return Finding({"left": 1.0, "steps": earlier}, {})
        if view.epoch is None:
            return Finding({}, {})
        found = _step_above_chance(view.epoch)
        if found is None:
            return Finding({"left": 0.0}, {})
        return Finding({"left": 1.0, "steps": float(found)}, {})


def _step_above_chance(epoch: TrainingEpoch) -> int | None:
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
    found = (accuracy > chance) & (evidence > -math.log(FALSE_ALARM))
    if not bool(found.any()):
        return None
    return epoch.first_step + int(found.int().argmax()) + window - 1


def _divergence(accuracy: Tensor, chance: float) -> Tensor:
    """Return KL(a‖c) of two coins, in nats."""
    right = torch.xlogy(accuracy, accuracy / chance)
    return right + torch.xlogy(1 - accuracy, (1 - accuracy) / (1 - chance))
