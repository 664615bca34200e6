"""The training loop, from a run's first step to its last."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from losslab.data import BatchLoader
from losslab.losses import Terms
from losslab.metrics import ClassificationSums
from losslab.recording import Recorder
from losslab.seeding import derive
from losslab.training.schedules import Schedule
from losslab.training.settings import Trainer
from losslab.training.step import (
    Evaluation,
    TrainingStep,
    Update,
    decomposition,
    evaluate,
    step_numbers,
    tagged,
)
from losslab.types import Batch, Curves, Finding, Predictions, Scalars, TrainingEpoch

logger = logging.getLogger("losslab")

# Not every step, since reading numbers waits for the GPU. Not a setting, since the step at
# which divergence is detected is part of a run's result.
STEPS_BETWEEN_DIVERGENCE_CHECKS = 50

Diagnose = Callable[[int, Scalars, TrainingEpoch | None, bool, Predictions | None], Finding | None]
"""Called with the epochs done, the latest numbers, the epoch's training outputs, whether the epoch
was the last, and the predictions for the validation part; returns what to record, if anything."""

Draw = Callable[[int, Evaluation, Curves, bool], list[Any]]
"""Called with the epochs done, the validation part's evaluation, the diagnostics' curves and
whether the epoch was the last; returns values of a TensorBoard summary."""


@dataclass
class Loop:
    """Train until the last step, or until the objective becomes infinite or NaN.

    Before the first epoch and after each, the validation part is evaluated, ``diagnose`` and
    ``draw`` are called, and their results are recorded. After an epoch, ``on_epoch`` is called with
    the epoch, the number of epochs and the latest numbers, and ``save`` with the state for
    :meth:`restore`.

    :meth:`run` trains this run alone. A :class:`~losslab.training.Stack` trains many together: it
    calls :meth:`start`, makes the updates itself, and calls :meth:`check_step` if :attr:`is_due`,
    and :meth:`end_epoch`.

    Attributes:
        diverged: Whether the objective became infinite or NaN, which ends training.
        scalars: The latest number of each tag.
        validation: The evaluation of the current weights, ``None`` if they were not evaluated.
        history: The records of this process, in order.
        error: The error that ended this run, if it is trained together with others.
    """

    step: TrainingStep
    schedule: Schedule
    settings: Trainer
    train: BatchLoader
    val: BatchLoader | None
    seed: int
    recorder: Recorder | None = None
    save: Callable[[dict[str, Any]], None] | None = None
    diagnose: Diagnose | None = None
    draw: Draw | None = None
    on_epoch: Callable[[int, int, Scalars], None] | None = None
    steps_done: int = 0
    diverged: bool = False
    scalars: Scalars = field(default_factory=dict)
    validation: Evaluation | None = None
    history: list[Scalars] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.total_steps = self.settings.total_steps(len(self.train))
        self._base_rates = [group["lr"] for group in self.step.optimizer.param_groups]

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from ``state``, which an earlier run of the same configuration saved."""
        self.step.load_state(state)
        self.steps_done, self.scalars = state["step"], state["scalars"]

    def run(self) -> None:
        """Train to the end; the results are in the attributes."""
        update: Update = self.step.update
        if self.settings.engine in ("auto", "graph") and self.train.device.type == "cuda":
            update = self.step.replayed()
        elif self.settings.engine == "graph":
            logger.warning("trainer.engine: eager, since only CUDA has graphs")
        self.start()
        while not self.ended:
            self._train_epoch(update)

    def _train_epoch(self, update: Update) -> None:
        started, logits, labels = time.perf_counter(), [], []
        with torch.random.fork_rng(devices=[]):
            # For models that draw random numbers, as in dropout.
            torch.manual_seed(derive(self.seed, "training", self.epoch))
            for batch in islice(self.train.epoch(self.seed, self.epoch), self.steps_left_in_epoch):
                for group, rate in zip(self.step.optimizer.param_groups, self.rates(), strict=True):
                    group["lr"] = rate
                batch_logits, terms = update(batch)
                self.steps_done += 1
                # Metrics are computed once per epoch; every step would cost 3%.
                logits.append(batch_logits)
                labels.append(batch.labels)
                if self.is_due:
                    self.check_step(self._step_scalars(batch, batch_logits, terms))
                if self.diverged:
                    break
        trained = torch.cat(logits), torch.cat(labels)
        evaluation = Evaluation(ClassificationSums.of(*trained), *trained)
        self.end_epoch(evaluation, seconds=time.perf_counter() - started)

    def start(self, validation: Evaluation | None = None) -> None:
        """Record the state before the first step, unless the run resumes."""
        if self.steps_done == 0:
            self._record_epoch(validation=validation)
        self.step.model.train()

    @property
    def ended(self) -> bool:
        """Whether training has ended."""
        return self.diverged or self.error is not None or self._is_over()

    @property
    def epoch(self) -> int:
        """The epoch of the next step, counted from 0."""
        return self.steps_done // len(self.train)

    @property
    def steps_left_in_epoch(self) -> int:
        """Steps until the end of the epoch or of the run, whichever is first."""
        end = (self.epoch + 1) * len(self.train)
        return min(end, self.total_steps) - self.steps_done

    def rates(self, *, ahead: int = 0) -> list[float]:
        """Return each parameter group's learning rate, ``ahead`` steps after the next step."""
        factor = self.schedule((self.steps_done + ahead) / self.total_steps)
        return [rate * factor for rate in self._base_rates]

    @property
    def is_due(self) -> bool:
        """Whether the last step must be checked for divergence or recorded."""
        return self._is_check_due or self.steps_done % self.settings.log_every == 0

    @property
    def _is_check_due(self) -> bool:
        ends_epoch = self._is_over() or self.steps_done % len(self.train) == 0
        return ends_epoch or self.steps_done % STEPS_BETWEEN_DIVERGENCE_CHECKS == 0

    def check_step(self, scalars: Scalars) -> None:
        """Check whether the run diverged in the last step, and record the step, each if due."""
        self.diverged = self._is_check_due and not math.isfinite(scalars["train/objective"])
        if self.ended or self.steps_done % self.settings.log_every == 0:
            self.record(scalars | {"optim/lr": self.rates(ahead=-1)[0]})

    def end_epoch(
        self, trained: Evaluation, *, seconds: float, validation: Evaluation | None = None
    ) -> None:
        """Record the epoch that has just ended and save a checkpoint, if due.

        Args:
            trained: The evaluation of the training batches, each before its update.
            seconds: The duration of the epoch.
            validation: The evaluation of the current weights, computed here by default.
        """
        self.validation = None
        if not self.diverged:
            speed = len(trained.labels) / seconds
            self._record_epoch(trained, validation=validation, examples_per_s=speed)
        if self.recorder is not None:
            self.recorder.flush()
        if self.diverged:
            return
        epochs = math.ceil(self.epochs_done)
        if self.on_epoch is not None:
            self.on_epoch(epochs, math.ceil(self.total_steps / len(self.train)), self.scalars)
        is_due = epochs % self.settings.checkpoint_every == 0
        if self.save is not None and is_due and not self.ended:
            self.save(self.step.state() | {"step": self.steps_done, "scalars": self.scalars})

    def _record_epoch(
        self,
        trained: Evaluation | None = None,
        *,
        validation: Evaluation | None,
        examples_per_s: float | None = None,
    ) -> None:
        """Evaluate, run the diagnostics and record the results."""
        epochs, finding, summaries = math.ceil(self.epochs_done), Finding({}, {}), None
        scalars = {} if trained is None else tagged("train", trained.sums)
        if self.val is not None:
            model, autocast = self.step.model, self.step.autocast
            self.validation = validation or evaluate(model, self.val, autocast=autocast)
            scalars = scalars | tagged("val", self.validation.sums)
        if self.diagnose is not None:
            epoch = None if trained is None else self._training_epoch(trained)
            outputs = self.validation and Predictions(*self.validation[1:])
            numbers = self.scalars | scalars
            finding = self.diagnose(epochs, numbers, epoch, self._is_over(), outputs) or finding
        if self.draw is not None and self.validation is not None:
            summaries = self.draw(epochs, self.validation, finding.curves, self._is_over())
        self.record(
            scalars | finding.scalars,
            curves=finding.curves,
            shown=summaries,
            examples_per_s=examples_per_s,
        )

    def _training_epoch(self, trained: Evaluation) -> TrainingEpoch:
        size, count = self.train.batch_size, len(trained.labels)
        first_step = self.steps_done - math.ceil(count / size)
        clean = self.train.clean_labels(self.seed, first_step // len(self.train))[:count]
        return TrainingEpoch(Predictions(trained.logits, trained.labels), clean, size, first_step)

    @torch.no_grad()
    def _step_scalars(self, batch: Batch, logits: Tensor, terms: Terms) -> Scalars:
        gradients = [p.grad for p in self.step.parameters if p.grad is not None]
        norms = get_total_norm(gradients), get_total_norm(self.step.parameters)
        numbers = step_numbers(terms, *norms)
        parts = decomposition(self.step.objective.likelihood, logits, batch.labels)
        numbers |= {tag: part.mean() for tag, part in parts.items()}
        values = torch.stack(list(numbers.values())).tolist()  # one copy from the device
        return dict(zip(numbers, values, strict=True))

    def _is_over(self) -> bool:
        return self.steps_done == self.total_steps

    @property
    def epochs_done(self) -> float:
        """Passes over the training part so far, as a fraction."""
        return self.steps_done / len(self.train)

    def record(
        self,
        scalars: Scalars,
        *,
        curves: Curves | None = None,
        shown: list[Any] | None = None,
        examples_per_s: float | None = None,
    ) -> None:
        """Record numbers, columns of numbers and figures at the current step."""
        self.scalars |= scalars
        if examples_per_s is not None:
            scalars = scalars | {"time/examples_per_s": examples_per_s}
        epochs, steps = divmod(self.steps_done, len(self.train))
        examples = epochs * self.train.num_examples + steps * self.train.batch_size
        step, epoch = self.steps_done, self.epochs_done
        self.history.append({"step": step, "examples": examples, "epoch": epoch} | scalars)
        if self.recorder is not None:
            self.recorder.record(
                scalars, step=step, examples=examples, epoch=epoch, curves=curves, shown=shown
            )
