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
from losslab.experiment.compose import Composer, leaves
from losslab.experiment.data import load
from losslab.experiment.hydra_private import apply_overrides
from losslab.experiment.identity import kept_configuration
from losslab.experiment.make import make
from losslab.experiment.overrides import nearest
from losslab.experiment.warm_start import load_weights
from losslab.files import as_path
from losslab.recording import Run
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
    about = {
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
    return json.dumps(about, indent=2, default=str) + "\n"


class SavedModel(nn.Module):
    """A trained model that takes raw images."""

    _shift: Tensor
    _scale: Tensor

    def __init__(self, model: nn.Module, about: dict[str, Any]) -> None:
        super().__init__()
        self.model = model  # takes normalised images
        self.input_shape: tuple[int, ...] = tuple(about["input_shape"])  # ``(C, H, W)``
        self.class_names: tuple[str, ...] = tuple(about["class_names"])  # in the logits' order
        self.mean, self.std = about["mean"], about["std"]  # by channel, full brightness being 1
        self.autocast = PRECISIONS[about["precision"]]
        shift, scale = shift_and_scale(self.mean, self.std)
        self.register_buffer("_shift", shift)
        self.register_buffer("_scale", scale)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)``, whose softmax is the probabilities.

        Images are ``(N, C, H, W)``, uint8 from 0 to 255 or floating point from 0 to 1;
        ``ValueError`` for another shape, type or range.
        """
        if tuple(images.shape[1:]) != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise ValueError(f"images of shape {tuple(images.shape)}; give (N, {shape})")
        if images.is_floating_point():
            if images.numel() and not 0 <= float(images.amin()) <= float(images.amax()) <= 1:
                raise ValueError(
                    f"floating-point images from {images.amin():g} to {images.amax():g}; give 0 to "
                    "1 as they are, without normalisation, or uint8 from 0 to 255"
                )
            images = images * 255
        elif images.dtype is not torch.uint8:
            raise ValueError(f"images of type {images.dtype}; give uint8 or floating point")
        pixels = (images.float() - self._shift) * self._scale
        return forward(self.model, pixels, self.autocast)


def load_model(run: Run | str | Path) -> SavedModel:
    """Return a finished run's model, from raw images to logits, on the CPU in evaluation mode.

    Runs no code but the model's class. The module of a custom model must be in the working folder,
    as for training.

    Args:
        run: A run or its directory, ``outputs/<name>/<group>/seed=<n>``.

    Raises:
        ValueError: The run is not finished, or a file was altered or is missing.

    >>> load_model("outputs")
    Traceback (most recent call last):
    ValueError: outputs is not a finished run; give its directory, .../seed=<n>
    """
    found = _found(run)
    found.check_status()
    if not found.finished:
        raise ValueError(f"{found.path} is not a finished run; give its directory, .../seed=<n>")
    files = found.files
    for file in (files.model, files.about_model):
        if not file.is_file():
            raise ValueError(f"{found.path} has no {file.name}")
    about = json.loads(found.read(files.about_model))
    shapes = {"input_shape": tuple(about["input_shape"]), "num_classes": about["num_classes"]}
    with torch.random.fork_rng(devices=[]):
        node = OmegaConf.create(about["model"])
        model: nn.Module = make(node, "model", kind=nn.Module, **shapes).eval()
        if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
            model(torch.zeros(2, *about["input_shape"]))
    load_weights(model, files.model, str(found.path))
    return SavedModel(model, about).eval()


def _found(run: Run | str | Path) -> Run:
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
    with Composer(config_dir):  # allows the modules there
        saved = load_model(run)
    config = _configuration(_found(run), overrides, config_dir)
    settings: Trainer = make(config.trainer, "trainer", kind=Trainer)
    device = resolve_device(settings.device)
    dataset = load(config.data)
    wanted = len(saved.class_names), saved.input_shape
    if (dataset.num_classes, dataset.input_shape) != wanted:
        raise ValueError(
            f"data={dataset.name} has {dataset.num_classes} classes and images of shape "
            f"{dataset.input_shape}; {_found(run).path} was trained for {wanted[0]} and {wanted[1]}"
        )
    names, known = dataset.class_names, saved.class_names
    if names != known and sorted(names) == sorted(known):
        raise ValueError(
            f"data={dataset.name} has the classes {', '.join(names)} in another order than "
            f"{_found(run).path}: {', '.join(known)}"
        )
    configure_process(settings)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    saved.model.to(device, memory_format=layout)  # type: ignore[call-overload]
    found = {}
    for name in ("train", "val", "test"):
        loader = BatchLoader(
            getattr(dataset, name),
            batch_size=settings.batch_size,
            mean=saved.mean,  # of the training data, whatever these images are
            std=saved.std,
            device=device,
            channels_last=settings.channels_last,
        )
        sums = evaluate(saved.model, loader, autocast=saved.autocast).sums
        found[name] = {"examples": float(sums.examples), **sums.scalars()}
    return found


def _configuration(run: Run, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Return the run's configuration with the overrides applied."""
    config = kept_configuration(run.read(run.files.config).decode())
    with Composer(config_dir) as composer:
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
            keys = list(leaves(config))
            unknown = [o.key_or_group for o in parsed if o.key_or_group not in keys]
            if not unknown:
                raise ValueError(str(error).splitlines()[0]) from error
            raise ValueError(f"unknown key {unknown[0]!r}{nearest(unknown[0], keys)}") from error
    return config
