"""Call each diagnostic when it is due."""

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from losslab.diagnostics.view import View
from losslab.losses import MAP
from losslab.types import Batch, Curves, Finding, Predictions, Scalars, TrainingEpoch


class Diagnostic(Protocol):
    """Looks at a view and gives plain numbers.

    Attributes:
        every: Epochs between two looks, the first before training and one at the end; ``None``
            for a single look after training, when validation and test predictions are there.
    """

    @property
    def every(self) -> int | None:
        """Epochs between two looks."""

    def measure(self, view: View) -> Finding:
        """Return what is seen; the names become ``why/<diagnostic>/<name>``."""


class Examination:
    """The diagnostics of one run, each at its own cadence, all on the same probe batch.

    Nothing is seen where a logit of the probe is infinite or NaN.

    Args:
        diagnostics: By name, which is the second part of their tags.
        model: Trained elsewhere; left in the mode in which it is found.
        objective: What training lowers.
        probe: The fixed batch.
        initial: The weights before the first step; copied.

    Raises:
        ValueError: A cadence that is no whole number from 1 up.
    """

    def __init__(
        self,
        diagnostics: Mapping[str, Diagnostic],
        *,
        model: nn.Module,
        objective: MAP,
        probe: Batch,
        initial: Mapping[str, Tensor],
    ) -> None:
        check_cadences(diagnostics)
        self._diagnostics = diagnostics
        self._model = model
        self._objective = objective
        self._probe = probe
        self._initial = {name: value.detach().clone() for name, value in initial.items()}

    def during(
        self, epochs_done: int, recorded: Scalars, epoch: TrainingEpoch | None, last: bool
    ) -> Finding:
        """Return what the diagnostics see that are due.

        Args:
            epochs_done: Whole epochs trained, 0 before the first.
            recorded: The latest numbers of the run.
            epoch: What the training batches gave; ``None`` before the first epoch.
            last: Whether training is over: all are due then but those for after the evaluation.
        """
        due = {
            name: diagnostic
            for name, diagnostic in self._diagnostics.items()
            if diagnostic.every is not None and (last or epochs_done % diagnostic.every == 0)
        }
        return self._measure(due, recorded, epoch=epoch)

    def after(self, recorded: Scalars, *, val: Predictions, test: Predictions) -> Finding:
        """Return what the diagnostics see that look once, after the final evaluation."""
        due = {name: d for name, d in self._diagnostics.items() if d.every is None}
        return self._measure(due, recorded, val=val, test=test)

    def _measure(
        self,
        due: Mapping[str, Diagnostic],
        recorded: Scalars,
        *,
        epoch: TrainingEpoch | None = None,
        val: Predictions | None = None,
        test: Predictions | None = None,
    ) -> Finding:
        scalars: Scalars = {}
        curves: Curves = {}
        if not due:
            return Finding(scalars, curves)
        was_training = self._model.training
        self._model.eval()
        view = View(
            model=self._model,
            # A loss may keep statistics of what it is given: of what is trained on alone.
            objective=copy.deepcopy(self._objective).eval().requires_grad_(False),
            probe=self._probe,
            initial=self._initial,
            recorded=recorded,
            epoch=epoch,
            val=val,
            test=test,
        )
        try:
            with torch.random.fork_rng(devices=[]):
                if not bool(view.logits.isfinite().all()):
                    return Finding(scalars, curves)  # the run is about to be found diverged
                for name, diagnostic in due.items():
                    try:
                        finding = _checked(diagnostic.measure(view))
                    except Exception as error:  # whatever a custom diagnostic raises
                        raise ValueError(
                            f"diagnostics.{name}: it fails ({type(error).__name__}: {error})"
                        ) from error
                    scalars |= {f"why/{name}/{key}": v for key, v in finding.scalars.items()}
                    curves |= {f"why/{name}/{key}": v for key, v in finding.curves.items()}
        finally:
            self._model.train(was_training)
        return Finding(scalars, curves)


def check_cadences(diagnostics: Mapping[str, Diagnostic]) -> None:
    """Raise ``ValueError`` for a cadence that is no whole number from 1 up, or a missing method."""
    for name, diagnostic in diagnostics.items():
        for needed in ("every", "measure"):
            if not hasattr(diagnostic, needed):
                raise ValueError(
                    f"diagnostics.{name}: {type(diagnostic).__name__} has no {needed!r}; give it "
                    "`every`, a whole number of epochs or None, and `measure(view)`"
                )
        every = diagnostic.every
        if every is not None and (type(every) is not int or every < 1):
            raise ValueError(
                f"diagnostics.{name}.every={every}; give a whole number of epochs from 1 up, or "
                "null for once at the end"
            )


def _checked(finding: Finding) -> Finding:
    """Check that a finding can be recorded."""
    if not isinstance(finding, Finding):
        raise TypeError(f"it gives {type(finding).__name__}; give Finding(scalars, curves)")
    for name, value in finding.scalars.items():
        if not isinstance(value, int | float):
            raise TypeError(f"{name!r} is {type(value).__name__}; give a number, e.g. .item()")
    json.dumps(finding.curves, allow_nan=False)
    return finding


def probe_of(batches: Iterable[Batch], size: int) -> Batch:
    """Return the first ``size`` examples of ``batches`` as one batch."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    seen = 0
    for batch in batches:
        images.append(batch.images[: size - seen])
        labels.append(batch.labels[: size - seen])
        seen += len(labels[-1])
        if seen == size:
            break
    return Batch(torch.cat(images), torch.cat(labels))
