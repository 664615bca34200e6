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
"""Model options that only scale initial weights, with the values that have no effect."""

_WHAT_FITS = "give the weights of a run with the same model, classes and size of images"


def checksum(init_from: object) -> str:
    """Return the SHA-256 of the weights in a run directory or safetensors file, if intact."""
    return hashlib.sha256(_read(_file(init_from))).hexdigest()


def warm_start(
    model: nn.Module, init_from: object, *, options: Mapping[str, object] | None = None
) -> None:
    """Replace the weights of ``model`` by those of ``init_from``, without running its code.

    ``ValueError`` if the file is missing or damaged, its weights do not fit or are not finite, or
    one of the model's ``options`` (:data:`FRESH`) would have no effect.
    """
    for option, plain in FRESH.items():
        value = (options or {}).get(option, plain)
        if value != plain:
            why = "changes random weights, which init_from replaces; leave one of them out"
            raise ValueError(f"model.{option}={value} {why}")
    weights = load_weights(model, _file(init_from), f"init_from={init_from}")
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        why = "is not finite, since that run diverged; give one that did not"
        raise ValueError(f"init_from={init_from}: {broken[0]!r} {why}")


def load_weights(model: nn.Module, file: Path, origin: str) -> dict[str, Tensor]:
    """Load a file into ``model`` and return its weights; errors begin with ``origin``."""
    try:
        weights = load(_read(file))
    except SafetensorError as error:
        what = f"{origin}: {file.name} is cut off, altered or no safetensors file ({error})"
        advice = "train that run again with force=true, or give another"
        raise ValueError(f"{what}; {advice}") from error
    if difference := _first_difference(weights, model.state_dict()):
        raise ValueError(f"{origin} {difference}; {_WHAT_FITS}")
    model.load_state_dict(weights)
    return weights


def _read(file: Path) -> bytes:
    return Run.at(file.parent).read(file)


def _file(init_from: object) -> Path:
    allowed = "give a finished run's directory or a file of weights, or null for random ones"
    if not isinstance(init_from, str):
        raise ValueError(f"init_from={init_from}; {allowed}")
    path = expanded(init_from)
    file = Run.at(path).files.model if path.is_dir() else path
    if not file.is_file():
        missing = f"has no {file.name}" if path.is_dir() else "does not exist"
        raise ValueError(f"init_from={init_from} {missing}; {allowed}")
    return file


def _first_difference(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    for name, value in expected.items():
        if name not in weights:
            return f"has no {name!r}, which this run's model has"
        if (shape := weights[name].shape) != value.shape:
            return f"has {name!r} of shape {(*shape,)}, this run's model of {(*value.shape,)}"
    unknown = sorted(weights.keys() - expected.keys())
    return f"has {unknown[0]!r}, which this run's model lacks" if unknown else None
