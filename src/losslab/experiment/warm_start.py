"""Warm starts from the final weights of another run."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from losslab.files import expanded
from losslab.recording import Run

FRESH = {"output_scale": 1.0, "output_bias": 0.0}
"""Model options that change fresh weights only, at the values at which they change nothing."""

_WHAT_FITS = "give the weights of a run with the same model, classes and size of images"


def checksum(init_from: object) -> str:
    """Return the SHA-256 of the weights in a run directory or safetensors file.

    Raises:
        ValueError: There is no such file, or it was altered since its run ended.
    """
    return hashlib.sha256(_read(_file(init_from))).hexdigest()


def warm_start(
    model: nn.Module, init_from: object, *, options: Mapping[str, object] | None = None
) -> None:
    """Replace the weights of ``model`` by those that ``init_from`` names; no code is run.

    Args:
        model: With the same names and shapes.
        init_from: As in :func:`checksum`.
        options: With which the model was made.

    Raises:
        ValueError: The file is missing or damaged, its weights do not fit or are not finite, or an
            option would only change fresh weights, as those in :data:`FRESH`.
    """
    for option, plain in FRESH.items():
        given = (options or {}).get(option, plain)
        if given != plain:
            raise ValueError(
                f"model.{option}={given} changes fresh weights, which init_from replaces; leave "
                "one of them out"
            )
    weights = load_weights(model, _file(init_from), f"init_from={init_from}")
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(
            f"init_from={init_from}: {broken[0]!r} is not finite, so that run diverged; give one "
            "that did not"
        )


def load_weights(model: nn.Module, file: Path, named: str) -> dict[str, Tensor]:
    """Load a safetensors file into ``model`` and return its weights; no code is run.

    Raises:
        ValueError: It is damaged, altered since its run ended, or does not fit; begins with
            ``named``.
    """
    try:
        weights = load(_read(file))
    except SafetensorError as error:
        raise ValueError(
            f"{named}: {file.name} is cut off, altered or no safetensors file "
            f"({error}); train that run again with force=true, or give another"
        ) from error
    difference = _first_difference(weights, model.state_dict())
    if difference is not None:
        raise ValueError(f"{named} {difference}; {_WHAT_FITS}")
    model.load_state_dict(weights)
    return weights


def _read(file: Path) -> bytes:
    return Run.at(file.parent).read(file)


def _file(init_from: object) -> Path:
    allowed = "give a finished run's directory or a file of weights, or null for fresh ones"
    if not isinstance(init_from, str):
        raise ValueError(f"init_from={init_from}; {allowed}")
    path = expanded(init_from)
    file = Run.at(path).files.model if path.is_dir() else path
    if not file.is_file():
        missing = f"has no {file.name}" if path.is_dir() else "is not there"
        raise ValueError(f"init_from={init_from} {missing}; {allowed}")
    return file


def _first_difference(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> str | None:
    for name, value in wanted.items():
        if name not in weights:
            return f"has no {name!r}, which this run's model has"
        if weights[name].shape != value.shape:
            return (
                f"has {name!r} of shape {tuple(weights[name].shape)}, this run's model of "
                f"{tuple(value.shape)}"
            )
    unknown = sorted(weights.keys() - wanted.keys())
    return f"has {unknown[0]!r}, which this run's model has not" if unknown else None
