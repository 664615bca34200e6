"""A run from its first to its last step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from losslab.data import BatchLoader
from losslab.losses import CrossEntropy, Terms
from losslab.metrics import ClassificationSums
from losslab.recording import Recorder
from losslab.seeding import derive
from losslab.training.evaluate import Evaluation, evaluate
from losslab.training.schedules import Schedule
from losslab.training.settings import Trainer
from losslab.training.step import TrainingStep
from losslab.types import Batch, Curves, Finding, Predictions, Scalars, TrainingEpoch

# Looking at the objective on a GPU waits for it, so not in every step. A constant, because the
# step at which a run is found to have diverged is part of its result; the cadence of logging
# must not be.
STEPS_BETWEEN_DIVERGENCE_CHECKS = 50


Examine = Callable[[int, Scalars, TrainingEpoch | None, bool], Finding]
"""From epochs done, latest numbers, the epoch's batches and whether it was the last one."""


Draw = Callable[[int, Evaluation, Curves, bool], list[Any]]
"""From epochs done, the validation part's evaluation, what diagnostics saw and whether it was the
last epoch to values of a TensorBoard summary."""


def look_at_nothing(
    epochs_done: int, recorded: Scalars, epoch: TrainingEpoch | None, last: bool
) -> Finding:
    """Have no diagnostics."""
    del epochs_done, recorded, epoch, last
    return Finding({}, {})


def _draw_nothing(
    epochs_done: int, validation: Evaluation, curves: Curves, last: bool
) -> list[Any]:
    """Have no images."""
    del epochs_done, validation, curves, last
    return []


def _do_not_save(state: dict[str, Any]) -> None:
    """Keep no checkpoint."""
    del state


def _ignore(epoch: int, epochs: int, scalars: Scalars) -> None:
    """Show no progress."""


@dataclass
class Loop:
    """Train until the last step, or until the objective is infinite or NaN.

    After every epoch the validation part is evaluated, the running metrics of the epoch's
    training batches and what the diagnostics see are recorded and a checkpoint is offered.

    Attributes:
        step: One update.
        schedule: From progress to the factor on the optimizer's learning rate.
        settings: Sizes and cadences.
        train: The training batches.
        val: The validation part, if any.
        seed: Of the batch order.
        recorder: Where the numbers go, besides ``history``.
        save: Called with everything that :meth:`restore` needs.
        examine: The diagnostics, called before the first epoch and after each.
        draw: Gives images and histograms of the run, called likewise.
        on_epoch: Called with the epoch, the number of epochs and its numbers, to show progress.
        steps_done: Updates made.
        diverged: Whether the objective stopped being a finite number; training then ends.
        scalars: The latest ``train/...``, ``val/...`` and ``optim/...`` numbers.
        validation: Of the present weights, ``None`` where they were not evaluated.
        history: The records of this process, in order.
    """

    step: TrainingStep
    schedule: Schedule
    settings: Trainer
    train: BatchLoader
    val: BatchLoader | None
    seed: int
    recorder: Recorder | None = None
    save: Callable[[dict[str, Any]], None] = _do_not_save
    examine: Examine = look_at_nothing
    draw: Draw = _draw_nothing
    on_epoch: Callable[[int, int, Scalars], None] = _ignore
    steps_done: int = 0
    diverged: bool = False
    scalars: Scalars = field(default_factory=dict)
    validation: Evaluation | None = None
    history: list[Scalars] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total_steps = self.settings.total_steps(len(self.train))
        self._base_rates = [group["lr"] for group in self.step.optimizer.param_groups]

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, which an earlier run of the same configuration saved."""
        self.step.model.load_state_dict(state["model"])
        self.step.objective.load_state_dict(state.get("loss", {}))
        self.step.optimizer.load_state_dict(state["optimizer"])
        self.steps_done = state["step"]
        self.scalars = state["scalars"]

    def run(self) -> None:
        """Train; :attr:`diverged`, :attr:`steps_done` and :attr:`scalars` then tell how it went."""
        epochs = math.ceil(self.total_steps / len(self.train))
        if self.steps_done == 0:
            self._record_epoch(self._validate(), epochs_done=0)
        self.step.model.train()
        # Rounded up: a run of so many steps may have its last checkpoint within an epoch.
        for epoch in range(math.ceil(self.steps_done / len(self.train)), epochs):
            with torch.random.fork_rng(devices=[]):
                # For what draws by itself, dropout in a model of one's own, say.
                torch.manual_seed(derive(self.seed, "training", epoch))
                self._train_epoch(epoch)
            if self.recorder is not None:
                self.recorder.flush()
            if self.diverged:
                return
            self.on_epoch(epoch + 1, epochs, self.scalars)
            last = self.steps_done == self.total_steps  # nothing is left to go on with
            if not last and (epoch + 1) % self.settings.checkpoint_every == 0:
                self.save(self.step.state() | {"step": self.steps_done, "scalars": self.scalars})

    def _train_epoch(self, epoch: int) -> None:
        started, logits, labels = time.perf_counter(), [], []
        self.validation = None
        steps = min(len(self.train), self.total_steps - self.steps_done)
        for batch, _ in zip(self.train.epoch(self.seed, epoch), range(steps), strict=False):
            self._set_learning_rate()
            batch_logits, terms = self.step.update(batch)
            self.steps_done += 1
            # Metrics are computed from these once an epoch: doing it in every step costs 3%.
            logits.append(batch_logits)
            labels.append(batch.labels)
            last = self.steps_done == self.total_steps
            self.diverged = (
                last
                or len(logits) == steps
                or self.steps_done % STEPS_BETWEEN_DIVERGENCE_CHECKS == 0
            ) and not math.isfinite(terms.total.item())
            if last or self.diverged or self.steps_done % self.settings.log_every == 0:
                self.record(self._step_scalars(batch, batch_logits, terms))
            if self.diverged:
                return
        examples = sum(len(part) for part in labels)
        seconds = time.perf_counter() - started
        trained = TrainingEpoch(
            Predictions(torch.cat(logits), torch.cat(labels)),
            clean_labels=self.train.clean_labels(self.seed, epoch)[:examples],
            batch_size=self.train.batch_size,
            first_step=self.steps_done - steps,
        )
        scalars = _tagged("train", ClassificationSums.of(*trained.predictions))
        self._record_epoch(
            scalars | self._validate(),
            epochs_done=epoch + 1,
            trained=trained,
            examples_per_s=examples / seconds,
        )

    def _record_epoch(
        self,
        scalars: Scalars,
        *,
        epochs_done: int,
        trained: TrainingEpoch | None = None,
        examples_per_s: float | None = None,
    ) -> None:
        last = self.steps_done == self.total_steps
        finding = self.examine(epochs_done, self.scalars | scalars, trained, last)
        shown = None
        if self.validation is not None:
            shown = self.draw(epochs_done, self.validation, finding.curves, last)
        self.record(
            scalars | finding.scalars,
            curves=finding.curves,
            shown=shown,
            examples_per_s=examples_per_s,
        )

    def _set_learning_rate(self) -> None:
        factor = self.schedule(self.steps_done / self.total_steps)
        for group, rate in zip(self.step.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor

    @torch.no_grad()
    def _step_scalars(self, batch: Batch, logits: Tensor, terms: Terms) -> Scalars:
        gradients = [p.grad for p in self.step.parameters if p.grad is not None]
        norms = torch.stack([get_total_norm(gradients), get_total_norm(self.step.parameters)])
        likelihood = torch.stack([terms.total, terms.likelihood, terms.prior]).detach()
        total, mean_likelihood, prior, gradient, weight = torch.cat([likelihood, norms]).tolist()
        return self._decomposition(batch, logits) | {
            "train/objective": total,
            "train/likelihood": mean_likelihood,
            "train/prior": prior,
            "optim/lr": self.step.optimizer.param_groups[0]["lr"],
            "optim/grad_norm": gradient,
            "optim/weight_norm": weight,
        }

    def _decomposition(self, batch: Batch, logits: Tensor) -> Scalars:
        """Return H(y, p), H(y) and KL(y‖p) of the batch, where the loss is made of them."""
        likelihood = self.step.objective.likelihood
        if not isinstance(likelihood, CrossEntropy):
            return {}
        parts = likelihood.decompose(logits, batch.labels)
        means = torch.stack(list(parts)).mean(dim=1).tolist()
        return {f"train/{name}": value for name, value in zip(parts._fields, means, strict=True)}

    def _validate(self) -> Scalars:
        if self.val is None:
            return {}
        self.validation = evaluate(self.step.model, self.val, autocast=self.step.autocast)
        return _tagged("val", self.validation.sums)

    @property
    def epochs_done(self) -> float:
        """Passes over the training part, with the fraction of the last one."""
        return self.steps_done / len(self.train)

    def record(
        self,
        scalars: Scalars,
        *,
        curves: Curves | None = None,
        shown: list[Any] | None = None,
        examples_per_s: float | None = None,
    ) -> None:
        """Record numbers, columns of numbers and images at the present step."""
        self.scalars |= scalars
        per_epoch = len(self.train)
        whole, rest = divmod(self.steps_done, per_epoch)
        speed = {} if examples_per_s is None else {"time/examples_per_s": examples_per_s}
        examples = whole * self.train.num_examples + rest * self.train.batch_size
        position = {"step": self.steps_done, "examples": examples, "epoch": self.epochs_done}
        self.history.append(position | scalars | speed)
        if self.recorder is not None:
            self.recorder.record(
                scalars | speed,
                step=self.steps_done,
                examples=examples,
                epoch=self.epochs_done,
                curves=curves,
                shown=shown,
            )


def _tagged(part: str, sums: ClassificationSums) -> Scalars:
    return {f"{part}/{name}": value for name, value in sums.scalars().items()}
