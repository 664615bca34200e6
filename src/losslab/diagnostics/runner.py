"""Run each diagnostic when it is due."""

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from losslab.data.cache import NotDownloadedError
from losslab.diagnostics.view import Diagnostic, View
from losslab.losses import MAP
from losslab.types import Batch, Finding, Predictions, Scalars, TrainingEpoch

MOST_EPOCHS = 32  # of the path, besides the initial and the current weights


class DiagnosticRunner:
    """The diagnostics of one run, each at its own cadence, all on the same probe batch.

    Create it before training starts: the weights at that time are the initial ones. Nothing is
    measured if a logit of the probe is infinite or NaN.

    Args:
        diagnostics: By name, which is the second part of their tags.
        model: Its mode is restored after each measurement.
        objective: What training minimises.
        probe: The fixed batch, images and labels, such as :func:`probe_of` the training part.

    Raises:
        ValueError: A cadence is not a whole number ≥ 1, or a diagnostic fails.
    """

    def __init__(
        self,
        diagnostics: Mapping[str, Diagnostic],
        *,
        model: nn.Module,
        objective: MAP,
        probe: tuple[Tensor, Tensor],
    ) -> None:
        check_cadences(diagnostics)
        self.diagnostics = diagnostics
        self.model, self.objective, self.probe = model, objective, Batch(*probe)
        self.initial = {name: value.clone() for name, value in model.state_dict().items()}
        follows_path = any(getattr(d, "follows_path", False) for d in diagnostics.values())
        self.path: dict[int, Tensor] | None = {} if follows_path else None

    def state(self) -> dict[str, Any]:
        """Return the state that later findings depend on, for a checkpoint; it may be empty."""
        return {} if self.path is None else {"path": self.path}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load what :meth:`state` returned; the path is unknown if it is not in a checkpoint."""
        if self.path is not None:
            self.path = state.get("path")

    def after_epoch(
        self,
        epochs_done: int,
        recorded: Scalars,
        epoch: TrainingEpoch | None,
        last: bool,
        val: Predictions | None = None,
    ) -> Finding:
        """Return the findings of the diagnostics that are due; after the last epoch, of all."""
        if self.path is not None:
            every = 1
            while epochs_done > MOST_EPOCHS * every:
                every *= 2
            self.path = {epoch: w for epoch, w in self.path.items() if epoch % every == 0}
            parameters = [p.detach().flatten().cpu() for p in self.model.parameters()]
            self.path[epochs_done] = torch.cat(parameters)
        due = [
            name
            for name, diagnostic in self.diagnostics.items()
            if diagnostic.every is not None and (last or epochs_done % diagnostic.every == 0)
        ]
        return self._measure(due, recorded=recorded, epoch=epoch, val=val)

    def after_training(self, recorded: Scalars, *, val: Predictions, test: Predictions) -> Finding:
        """Return the findings of the diagnostics that measure once, after training."""
        due = [name for name, diagnostic in self.diagnostics.items() if diagnostic.every is None]
        return self._measure(due, recorded=recorded, val=val, test=test)

    def _measure(self, due: list[str], **parts_of_view: Any) -> Finding:
        findings = Finding({}, {})
        if not due:
            return findings
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.random.fork_rng(devices=[]):
                view = View(
                    model=self.model,
                    # A copy: a loss may keep statistics, which only training may change.
                    objective=copy.deepcopy(self.objective).eval().requires_grad_(False),
                    probe=self.probe,
                    initial=self.initial,
                    path=self.path,
                    **parts_of_view,
                )
                if not bool(view.logits.isfinite().all()):
                    return findings  # the loop is about to detect divergence
                for name in due:
                    scalars, curves = _finding(name, self.diagnostics[name], view)
                    findings.scalars.update({f"why/{name}/{key}": v for key, v in scalars.items()})
                    findings.curves.update({f"why/{name}/{key}": v for key, v in curves.items()})
        finally:
            self.model.train(was_training)
        return findings


def check_cadences(diagnostics: Mapping[str, Diagnostic]) -> None:
    """Raise ``ValueError`` for a cadence that is not a whole number ≥ 1, or none at all."""
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
                f"diagnostics.{name}.every={every}; give a whole number of epochs ≥ 1, or "
                "null for once at the end"
            )


def _finding(name: str, diagnostic: Diagnostic, view: View) -> Finding:
    """Measure, and check the finding, since a custom diagnostic may return anything."""
    try:
        finding = diagnostic.measure(view)
        if not isinstance(finding, Finding):
            raise TypeError(f"it returns {type(finding).__name__}; give Finding(scalars, curves)")
        for key, value in finding.scalars.items():
            if not isinstance(value, int | float):
                raise TypeError(f"{key!r} is {type(value).__name__}; give a number, e.g. .item()")
        json.dumps(finding.curves, allow_nan=False)
    except NotDownloadedError:  # in a dry run, where it is not an error
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"diagnostics.{name}: it fails ({reason})") from error
    return finding


def probe_of(batches: Iterable[Batch], size: int) -> Batch:
    """Return the first ``size`` examples of ``batches`` as one batch."""
    heads: list[Batch] = []
    for batch in batches:
        heads.append(Batch(*(values[:size] for values in batch)))
        size -= len(heads[-1].labels)
        if size == 0:
            break
    return Batch(*map(torch.cat, zip(*heads, strict=True)))
