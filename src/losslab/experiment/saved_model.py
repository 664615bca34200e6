"""Use a finished run's model: describe, load and evaluate it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from losslab.data import BatchLoader, Dataset
from losslab.data.parts import shift_and_scale
from losslab.experiment.build import move_model
from losslab.experiment.compose import Composer, flat
from losslab.experiment.data import load
from losslab.experiment.hydra_private import apply_overrides
from losslab.experiment.identity import stored_configuration
from losslab.experiment.make import make
from losslab.experiment.target_allowlist import allow_modules_of
from losslab.experiment.warm_start import load_weights
from losslab.files import as_path
from losslab.recording import Run
from losslab.text import nearest
from losslab.training import (
    PRECISIONS,
    Trainer,
    configure_process,
    evaluate,
    forward,
    resolve_device,
)
from losslab.types import Scalars

_TAKES = "evaluate takes data=..., data.KEY=..., trainer.device=... and trainer.threads=..."


def about_model(config: DictConfig, dataset: Dataset) -> str:
    """Return the content of ``model.json``, which describes how to use a run's weights."""
    description = {
        "model": OmegaConf.to_container(config.model, resolve=True),
        "input_shape": dataset.input_shape,
        "num_classes": dataset.num_classes,
        "class_names": dataset.class_names,
        "input": "(pixel / pixel_scale - mean) / std in each channel, pixels from 0 to pixel_scale",
        "pixel_scale": 255,
        "mean": dataset.mean,
        "std": dataset.std,
        "precision": config.trainer.precision,
    }
    return json.dumps(description, indent=2, default=str) + "\n"


class SavedModel(nn.Module):
    """A trained model that takes raw images."""

    _shift: Tensor
    _scale: Tensor

    def __init__(self, model: nn.Module, description: dict[str, Any]) -> None:
        super().__init__()
        self.model = model  # takes normalised images
        self.input_shape: tuple[int, ...] = tuple(description["input_shape"])  # ``(C, H, W)``
        self.class_names: tuple[str, ...] = tuple(description["class_names"])  # in logits' order
        # Of each channel, full brightness being 1.
        self.mean, self.std = description["mean"], description["std"]
        self.autocast = PRECISIONS[description["precision"]]
        shift, scale = shift_and_scale(self.mean, self.std)
        self.register_buffer("_shift", shift)
        self.register_buffer("_scale", scale)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)``, whose softmax is the probabilities.

        Images are ``(N, C, H, W)``, uint8 from 0 to 255 or floating point from 0 to 1;
        ``ValueError`` for another shape, type or range.
        """
        if not isinstance(images, Tensor):
            raise ValueError(f"images are a {type(images).__name__}; give a torch tensor")
        if tuple(images.shape[1:]) != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise ValueError(f"images of shape {tuple(images.shape)}; give (N, {shape})")
        if images.is_floating_point():
            if images.numel() and not 0 <= float(images.amin()) <= float(images.amax()) <= 1:
                raise ValueError(
                    f"floating-point images from {images.amin():g} to {images.amax():g}; give 0 to "
                    "1 without normalisation, or uint8 from 0 to 255"
                )
            images = images * 255
        elif images.dtype is not torch.uint8:
            raise ValueError(f"images of type {images.dtype}; give uint8 or floating point")
        pixels = (images.float() - self._shift) * self._scale
        return forward(self.model, pixels, self.autocast)


def load_model(run: Run | str | Path, *, config_dir: str | Path | None = None) -> SavedModel:
    """Return a finished run's model, from raw images to logits, on the CPU in evaluation mode.

    Runs no code but the model's class. The module of a custom model must be in the working folder
    or in ``config_dir``, as for training.

    Args:
        run: A run or its directory, ``outputs/<name>/<group>/seed=<n>``.
        config_dir: The folder that the run was trained with, if any.

    Raises:
        ValueError: The run is not finished, or a file was altered or is missing.

    >>> load_model("outputs")
    Traceback (most recent call last):
    ValueError: outputs is not a finished run; give its directory, .../seed=<n>
    """
    if config_dir is not None:
        allow_modules_of([as_path(config_dir).resolve()])
    run = _as_run(run)
    run.check_status()
    if not run.finished:
        raise ValueError(f"{run.path} is not a finished run; give its directory, .../seed=<n>")
    files = run.files
    for file in (files.model, files.about_model):
        if not file.is_file():
            raise ValueError(f"{run.path} has no {file.name}")
    description = json.loads(run.read(files.about_model))
    input_shape, num_classes = tuple(description["input_shape"]), description["num_classes"]
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = make(
            OmegaConf.create(description["model"]), "model", kind=nn.Module,
            input_shape=input_shape, num_classes=num_classes,
        ).eval()  # fmt: skip
        if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
            model(torch.zeros(2, *input_shape))
    load_weights(model, files.model, str(run.path))
    return SavedModel(model, description).eval()


def _as_run(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.at(as_path(run).expanduser())


def evaluate_run(
    run: Run | str | Path, overrides: Sequence[str] = (), *, config_dir: str | None = None
) -> dict[str, Scalars]:
    """Evaluate a finished run's model on its own data or on other data.

    Args:
        run: A run or its directory.
        overrides: ``data=...`` or ``data.KEY=...``, and ``trainer.device=...``.
        config_dir: A folder with more choices, and the modules that these and the run use.

    Returns:
        For ``train``, ``val`` and ``test`` the number of ``examples``, ``accuracy``, ``nll``,
        ``brier`` and ``ece``; on the run's own data equal to its summary.

    Raises:
        ValueError: As :func:`load_model`; an override is wrong; or images or classes do not fit.
    """
    run = _as_run(run)
    with Composer(config_dir) as composer:  # allows the modules there
        saved = load_model(run)
        config = _configuration(run, overrides, composer)
    settings: Trainer = make(config.trainer, "trainer", kind=Trainer)
    device = resolve_device(settings.device)
    dataset = load(config.data)
    names, trained_names = dataset.class_names, saved.class_names
    if dataset.num_classes != len(trained_names) or dataset.input_shape != saved.input_shape:
        raise ValueError(
            f"data={dataset.name} has {dataset.num_classes} classes and images of shape "
            f"{dataset.input_shape}; {run.path} was trained for {len(trained_names)} and "
            f"{saved.input_shape}"
        )
    if names != trained_names and sorted(names) == sorted(trained_names):
        raise ValueError(
            f"data={dataset.name} has the classes {', '.join(names)} in another order than "
            f"{run.path}: {', '.join(trained_names)}"
        )
    configure_process(settings)
    move_model(saved.model, device, settings)
    results = {}
    for name in ("train", "val", "test"):
        loader = BatchLoader(
            getattr(dataset, name),
            batch_size=settings.batch_size,
            mean=saved.mean,  # of the training data, not of these images
            std=saved.std,
            device=device,
            channels_last=settings.channels_last,
        )
        sums = evaluate(saved.model, loader, autocast=saved.autocast).sums
        results[name] = {"examples": float(sums.examples), **sums.scalars()}
    return results


def _configuration(run: Run, overrides: Sequence[str], composer: Composer) -> DictConfig:
    """Return the run's configuration with the overrides applied."""
    config = stored_configuration(run.read(run.files.config).decode())
    parsed = composer.parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key.partition(".")[0] != "data" and key not in ("trainer.device", "trainer.threads"):
            raise ValueError(f"{override.input_line}: {_TAKES}")
    if any(override.key_or_group == "data" for override in parsed):
        composed = composer.compose(overrides)
        config.data = OmegaConf.to_container(composed.data, resolve=True)
        parsed = [o for o in parsed if o.key_or_group.partition(".")[0] != "data"]
    OmegaConf.set_struct(config, True)
    try:
        apply_overrides(parsed, config)
    except (HydraException, OmegaConfBaseException) as error:
        keys = flat(config)
        unknown = [o.key_or_group for o in parsed if o.key_or_group not in keys]
        if not unknown:
            raise ValueError(str(error).splitlines()[0]) from error
        raise ValueError(f"unknown key {unknown[0]!r}{nearest(unknown[0], keys)}") from error
    return config
