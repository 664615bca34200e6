"""The training of one run and the files that hold its result."""

from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save as to_safetensors
from torch import nn

from losslab.diagnostics import DiagnosticRunner, probe_of
from losslab.experiment.build import Parts
from losslab.experiment.identity import over_seeds
from losslab.experiment.saved_model import about_model
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
from losslab.types import Curves, Predictions, Scalars

_NO_COLUMNS = {
    *("_target_", "_partial_", "root", "cache_dir", "download", "log_every", "checkpoint_every"),
    *("pictures_every", "histograms_every"),
}


def train(run: Run, parts: Parts, *, state: dict[str, Any] | None, show: bool) -> bool:
    """Train, evaluate on validation and test, write the results; return whether it diverged.

    Args:
        run: Planned; its directory exists.
        parts: Built from its configuration.
        state: A checkpoint to go on from.
        show: Whether to show a progress bar.
    """
    # Half a second to import, and then only to train.
    from losslab.tensorboard import RunWriter, histograms, precision_recall_curves

    config, settings, files = run.composed, parts.trainer, run.files
    configure_process(threads=settings.threads, deterministic=settings.deterministic)
    step = parts.step()
    model = step.model
    writer = RunWriter(
        run,
        hyper_parameters=_hyper_parameters(config, run.choices),
        group=f"{config.name}/{over_seeds(run)}",
    )
    recorder = Recorder(run, views=[writer], after_step=None if state is None else state["step"])
    loaders = {part: parts.loader(part) for part in ("train", "val", "test")}
    diagnostic_runner = DiagnosticRunner(
        parts.diagnostics,
        model=model,
        objective=step.objective,
        probe=probe_of(loaders["train"].in_order(), settings.probe_size),
    )
    at_the_end: Curves = {}
    draw_images = partial(_images, run, parts)
    success = False
    try:
        with _progress_bar(show) as bar:
            task = bar.add_task(run.group, total=None)

            def show_epoch(epoch: int, epochs: int, scalars: Scalars) -> None:
                accuracy = f"validation accuracy {scalars['val/accuracy']:.4f}"
                bar.update(task, completed=epoch, total=epochs, description=accuracy)

            def draw(
                epochs_done: int, validation: Evaluation, curves: Curves, last: bool
            ) -> list[Any]:
                shown: list[Any] = []
                if not bool(validation.logits.isfinite().all()):
                    return shown  # the run is about to be found diverged
                every = settings.histograms_every
                if every is not None and (last or epochs_done % every == 0):
                    shown += histograms(*_arrays(validation), _weights(model))
                every = settings.pictures_every
                if last:  # drawn with what the last diagnostics see
                    at_the_end.update(curves)
                elif every is not None and epochs_done and epochs_done % every == 0:
                    shown += draw_images(validation, curves)
                return shown

            loop = Loop(
                step=step,
                schedule=parts.schedule,
                settings=settings,
                train=loaders["train"],
                val=loaders["val"],
                seed=config.seed,
                recorder=recorder,
                save=lambda checkpoint: save_checkpoint(
                    files.checkpoint, checkpoint | {"records": recorder.marks()}
                ),
                diagnose=diagnostic_runner.after_epoch,
                draw=draw,
                on_epoch=show_epoch,
            )
            if state is not None:
                loop.restore(state)
            loop.run()
        # A run that diverged within an epoch was not validated since.
        val = loop.validation or evaluate(model, loaders["val"], autocast=step.autocast)
        test = evaluate(model, loaders["test"], autocast=step.autocast)
        results = {"val": val, "test": test}
        scalars = {
            f"{part}/{name}": value
            for part, result in results.items()
            for name, value in result.sums.scalars().items()
        }
        # First of all: whatever a diagnostic does at the end, these are there.
        _write_results(files, step, results, about=about_model(config, parts.dataset))
        seen = {tag: value for tag, value in scalars.items() if tag.startswith("test/")}
        if loop.diverged:  # nothing is left to look at
            loop.record(seen)
        else:
            finding = diagnostic_runner.after_training(
                loop.scalars,
                val=Predictions(val.logits, val.labels),
                test=Predictions(test.logits, test.labels),
            )
            shown: list[Any] = []
            if settings.pictures_every is not None and bool(test.logits.isfinite().all()):
                shown = draw_images(val, at_the_end | finding.curves)
                shown += precision_recall_curves(*_arrays(test), parts.dataset.class_names)
            loop.record(seen | finding.scalars, curves=finding.curves, shown=shown)
        write_json(
            files.summary,
            {"step": loop.steps_done, "epoch": loop.epochs_done}
            | {t: v for t, v in sorted((loop.scalars | scalars).items()) if v - v == 0},
        )
        success = not loop.diverged
    finally:
        recorder.close(success=success)
    return loop.diverged


def _write_results(
    files: Files, step: TrainingStep, results: dict[str, Evaluation], *, about: str
) -> None:
    predictions = {
        f"{part}/{name}": getattr(result, name).contiguous()
        for part, result in results.items()
        for name in ("logits", "labels")
    }
    write_atomically(files.predictions, to_safetensors(predictions))
    write_atomically(files.about_model, about)
    loss = step.objective.state_dict()
    if loss:
        write_atomically(files.loss, pack_weights(loss))
    write_atomically(files.model, pack_weights(step.model.state_dict()))


def _arrays(evaluation: Evaluation) -> tuple[Any, Any]:
    """Return logits and labels in numpy."""
    return evaluation.logits.float().cpu().numpy(), evaluation.labels.cpu().numpy()


def _weights(model: nn.Module) -> dict[str, Any]:
    return {name: p.detach().float().cpu().numpy() for name, p in model.named_parameters()}


def _images(run: Run, parts: Parts, validation: Evaluation, curves: Curves) -> list[Any]:
    """Return the images of the run as it is now, for TensorBoard."""
    # matplotlib takes a second to import: only for those who ask for images.
    from losslab.figures.run_images import Recorded, run_images
    from losslab.tensorboard import image

    logits, labels = _arrays(validation)
    recorded = Recorded(
        seed=run.seed,
        logits=logits,
        labels=labels,
        weights=_weights(parts.model),
        curves=curves,
        class_names=[str(name) for name in parts.dataset.class_names],
    )
    name, of_loss = run.group.rpartition("-")[0], OmegaConf.to_container(run.composed.loss)
    assert isinstance(of_loss, dict)
    shown = parts.dataset.val.images.cpu().numpy()
    loss, prior = run.choices["loss"], of_loss.get("prior")
    images = run_images([recorded], name=name, loss=loss, prior=prior, images=shown)
    return [image(tag, *each) for tag, each in images.items()]


def _hyper_parameters(config: DictConfig, choices: dict[str, str]) -> dict[str, bool | float | str]:
    """Return the columns of TensorBoard's table: the choices, and every value below a group.

    Without the seed, so that the seeds of a configuration make one row, and without what changes
    no result: diagnostics, cadences of recording, places.
    """
    columns = {group: choice for group, choice in choices.items() if group != "diagnostics"}
    container: Any = OmegaConf.to_container(config, resolve=True)
    values = flatten({group: container.get(group) for group in columns})
    return columns | {
        key: value
        for key, value in values.items()
        if isinstance(value, bool | int | float | str) and _NO_COLUMNS.isdisjoint(key.split("."))
    }


def _progress_bar(show: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
    )
