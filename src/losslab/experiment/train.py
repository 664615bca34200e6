"""Train one run and write its results."""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save as to_safetensors
from torch import Tensor

from losslab.data import Dataset
from losslab.diagnostics import DiagnosticRunner, probe_of
from losslab.experiment.build import Parts
from losslab.experiment.identity import over_seeds
from losslab.experiment.saved_model import about_model
from losslab.metrics import worst_mistakes
from losslab.recording import Files, Recorder, Run, flatten, write_atomically, write_json
from losslab.text import Console
from losslab.training import (
    Evaluation,
    Loop,
    TrainingStep,
    configure_process,
    evaluate,
    pack_weights,
    save_checkpoint,
)
from losslab.training.step import tagged
from losslab.types import Curves, Predictions, Scalars

_NOT_HYPER_PARAMETERS = {
    *("_target_", "_partial_", "root", "cache_dir", "download", "log_every", "checkpoint_every"),
    *("pictures_every", "histograms_every", "all_tags"),
}


def train(
    run: Run, parts: Parts, *, state: dict[str, Any] | None, show: bool
) -> Generator[Loop, None, bool]:
    """Train, evaluate on validation and test, write the results; return whether it diverged.

    A generator: the caller trains the loop that it yields, perhaps together with those of other
    runs, and then resumes it. ``state`` is a checkpoint to resume training from.
    """
    from losslab.tensorboard import RunWriter  # takes half a second to import

    config, settings, files = run.composed, parts.trainer, run.files
    configure_process(settings)
    step, figures = parts.step(), _Figures(run, parts)
    loaders = {part: parts.loader(part) for part in ("train", "val", "test")}
    diagnostic_runner = DiagnosticRunner(
        parts.diagnostics,
        model=step.model,
        objective=step.objective,
        probe=probe_of(loaders["train"].in_order(), settings.probe_size),
    )
    columns, group = _hyper_parameters(run), f"{config.name}/{over_seeds(run)}"
    writer = RunWriter(run, hyper_parameters=columns, group=group, all_tags=settings.all_tags)
    recorder = Recorder(run, views=[writer], after_step=None if state is None else state["step"])
    success = False
    try:
        with _progress_bar(run.group, show=show) as show_epoch:
            loop = Loop(
                step=step,
                schedule=parts.schedule,
                settings=settings,
                train=loaders["train"],
                val=loaders["val"],
                seed=config.seed,
                recorder=recorder,
                save=lambda checkpoint: save_checkpoint(
                    files.checkpoint,
                    checkpoint | diagnostic_runner.state() | {"records": recorder.marks()},
                ),
                diagnose=diagnostic_runner.after_epoch,
                draw=figures.after_epoch,
                on_epoch=show_epoch,
            )
            if state is not None:
                loop.restore(state)
                diagnostic_runner.load_state(state)
            yield loop
        # A run that diverged during an epoch has not been validated since.
        val = loop.validation or evaluate(step.model, loaders["val"], autocast=step.autocast)
        # The last update may have diverged: the objective is known only before each update.
        loop.diverged |= not bool(val.logits.isfinite().all())
        test = evaluate(step.model, loaders["test"], autocast=step.autocast)
        # Before the last diagnostics, which may fail.
        _write_results(files, step, val, test, config=config, dataset=parts.dataset)
        scalars = tagged("test", test.sums)
        if loop.diverged:
            loop.record(scalars)
        else:
            finding = diagnostic_runner.after_training(
                loop.scalars,
                val=Predictions(val.logits, val.labels),
                test=Predictions(test.logits, test.labels),
            )
            shown = figures.after_training(val, test, finding.curves)
            loop.record(scalars | finding.scalars, curves=finding.curves, shown=shown)
        final = sorted((loop.scalars | tagged("val", val.sums)).items())
        position = {"step": loop.steps_done, "epoch": loop.epochs_done}
        write_json(files.summary, position | {tag: v for tag, v in final if math.isfinite(v)})
        success = not loop.diverged
    finally:
        recorder.close(success=success)
    return loop.diverged


def _write_results(
    files: Files,
    step: TrainingStep,
    val: Evaluation,
    test: Evaluation,
    *,
    config: DictConfig,
    dataset: Dataset,
) -> None:
    predictions = {
        f"{part}/{name}": getattr(result, name).contiguous()
        for part, result in (("val", val), ("test", test))
        for name in ("logits", "labels")
    }
    mistakes, images = _worst_mistakes(val, dataset)
    # Kept here, so that reports can show them without the data.
    predictions |= {"val/mistakes": mistakes, "val/mistaken": images.contiguous()}
    write_atomically(files.predictions, to_safetensors(predictions))
    write_atomically(files.about_model, about_model(config, dataset))
    if loss := step.objective.state_dict():
        write_atomically(files.loss, pack_weights(loss))
    write_atomically(files.model, pack_weights(step.model.state_dict()))


def _worst_mistakes(validation: Evaluation, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return the validation part's worst mistakes, indices ``(W,)``, and their images."""
    logits, images = validation.logits, dataset.val.images
    if not bool(logits.isfinite().all()):  # diverged
        return torch.zeros(0, dtype=torch.int64), images[:0].cpu()
    worst = worst_mistakes(logits.float(), validation.labels).cpu()
    return worst, images[worst.to(images.device)].cpu()


class _Figures:
    """Draws the figures and histograms of a run for TensorBoard."""

    def __init__(self, run: Run, parts: Parts) -> None:
        self._run, self._parts, self._last_curves = run, parts, Curves()

    def after_epoch(
        self, epochs_done: int, validation: Evaluation, curves: Curves, last: bool
    ) -> list[Any]:
        """Return what is due; the figures of the last epoch wait for the final diagnostics."""
        from losslab.tensorboard import histograms

        def due(every: int | None) -> bool:
            return every is not None and (last or epochs_done % every == 0)

        shown: list[Any] = []
        if not bool(validation.logits.isfinite().all()):
            return shown  # the run is about to be found diverged
        if due(self._parts.trainer.histograms_every):
            shown += histograms(*_arrays(validation), self._weights())
        if last:
            self._last_curves = curves
        elif epochs_done and due(self._parts.trainer.pictures_every):
            shown += self._images(validation, curves)
        return shown

    def after_training(self, val: Evaluation, test: Evaluation, curves: Curves) -> list[Any]:
        """Return the final figures; ``curves`` are those of the last diagnostics."""
        from losslab.tensorboard import precision_recall_curves

        if self._parts.trainer.pictures_every is None or not bool(test.logits.isfinite().all()):
            return []
        names = self._parts.dataset.class_names
        images = self._images(val, self._last_curves | curves)
        return images + precision_recall_curves(*_arrays(test), names)

    def _weights(self) -> dict[str, Any]:
        named = self._parts.model.named_parameters()
        return {name: p.detach().float().cpu().numpy() for name, p in named}

    def _images(self, validation: Evaluation, curves: Curves) -> list[Any]:
        # matplotlib takes a second to import.
        from losslab.figures.run_images import Recorded, run_images
        from losslab.tensorboard import image

        run, dataset = self._run, self._parts.dataset
        logits, labels = _arrays(validation)
        names = list(map(str, dataset.class_names))
        mistakes, mistaken = _worst_mistakes(validation, dataset)
        recorded = Recorded(
            seed=run.seed,
            logits=logits,
            labels=labels,
            weights=self._weights(),
            curves=curves,
            class_names=names,
            mistakes=mistakes.numpy(),
            mistaken=mistaken.numpy(),
        )
        name, loss = run.group.rpartition("-")[0], run.choices["loss"]
        node: Any = OmegaConf.to_container(run.composed.loss)
        images = run_images([recorded], name=name, loss=loss, prior=node.get("prior"))
        return [image(tag, *drawn) for tag, drawn in images.items()]


def _arrays(evaluation: Evaluation) -> tuple[Any, Any]:
    """Return logits and labels in numpy."""
    return evaluation.logits.float().cpu().numpy(), evaluation.labels.cpu().numpy()


def _hyper_parameters(run: Run) -> dict[str, bool | float | str]:
    """Return the columns of TensorBoard's table: the choices, and all values of their groups.

    The seed is left out, as a configuration has one row, and so are keys without effect.
    """
    columns = {group: choice for group, choice in run.choices.items() if group != "diagnostics"}
    container: Any = OmegaConf.to_container(run.composed, resolve=True)
    values = flatten({group: container.get(group) for group in columns})
    return columns | {
        key: value
        for key, value in values.items()
        if isinstance(value, bool | int | float | str)
        and _NOT_HYPER_PARAMETERS.isdisjoint(key.split("."))
    }


@contextmanager
def _progress_bar(title: str, *, show: bool) -> Iterator[Callable[[int, int, Scalars], None]]:
    """Show a progress bar over epochs in a terminal; yields the function that updates it."""
    console = Console(stderr=True)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("epochs"), TimeRemainingColumn()),
    )
    hidden = not (show and console.is_terminal)
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task(title, total=None)

        def show_epoch(epoch: int, epochs: int, scalars: Scalars) -> None:
            accuracy = f"validation accuracy {scalars['val/accuracy']:.4f}"
            progress.update(task, completed=epoch, total=epochs, description=accuracy)

        yield show_epoch
