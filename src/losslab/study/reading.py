"""What the measures read from finished runs."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from safetensors.numpy import load
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from losslab.data import Dataset
from losslab.experiment.build import build
from losslab.recording import Run, read_records
from losslab.report.statistics import FloatArray


def final(run: Run, tag: str) -> float:
    """Return a run's final number, NaN where it has none (a diverged run's NLL, for one)."""
    summary = json.loads(run.read(run.files.summary))
    return float(summary.get(tag, math.nan))


def diverged(runs: Sequence[Run]) -> list[bool]:
    """Return whether each run diverged: its objective was infinite or NaN."""
    return [run.status == "diverged" for run in runs]


def record(run: Run, tag: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a run recorded a number, and the numbers."""
    found = [r for r in read_records(run.files.metrics) if tag in r]
    return [float(r["step"]) for r in found], [float(r[tag]) for r in found]


def predictions(run: Run, part: str = "test") -> tuple[Tensor, Tensor]:
    """Return a run's final logits ``(N, K)`` float64 and the labels ``(N,)`` of a part."""
    stored = load_tensors(run.read(run.files.predictions))
    return stored[f"{part}/logits"].double(), stored[f"{part}/labels"]


def final_weights(run: Run) -> FloatArray:
    """Return all final weights and biases ``(P,)`` float64, in the order of their names."""
    tensors = load(run.read(run.files.model))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)


def untrained(run: Run) -> tuple[Dataset, nn.Module]:
    """Return a run's data and its model with the initial weights of its seed, on the CPU."""
    parts = build(run.composed)
    return parts.dataset, parts.model.cpu()


def value_of(run: Run, key: str) -> Any:
    """Return what a planned run's configuration has at a dotted key."""
    return OmegaConf.select(run.composed, key, throw_on_missing=True)


def of_config(runs: Sequence[Run], key: str) -> float:
    """Return the number that all runs have at a key of their configuration.

    Raises:
        ValueError: They differ.
    """
    values = {float(value_of(run, key)) for run in runs}
    if len(values) != 1:
        raise ValueError(f"the runs have {key}={sorted(values)}; give them all one value")
    return values.pop()
