"""What the measures read from finished runs."""

import json
import math
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from losslab.data import Dataset
from losslab.experiment.build import build
from losslab.recording import read_records
from losslab.report.statistics import FloatArray
from losslab.study.points import Point


def final(point: Point, tag: str) -> float:
    """Return a run's final number, NaN where it has none (a diverged run's NLL, for one)."""
    directory = point.identity.directory
    summary = json.loads(directory.read(directory.summary))
    return float(summary.get(tag, math.nan))


def diverged(points: Sequence[Point]) -> list[bool]:
    """Return whether each run diverged: its objective was infinite or NaN."""
    return [point.identity.directory.status == "diverged" for point in points]


def record(point: Point, tag: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a run recorded a number, and the numbers."""
    found = [r for r in read_records(point.identity.directory.metrics) if tag in r]
    return [float(r["step"]) for r in found], [float(r[tag]) for r in found]


def predictions(point: Point, part: str = "test") -> tuple[Tensor, Tensor]:
    """Return a run's final logits ``(N, K)`` float64 and the labels ``(N,)`` of a part."""
    directory = point.identity.directory
    stored = load_tensors(directory.read(directory.predictions))
    return stored[f"{part}/logits"].double(), stored[f"{part}/labels"]


def final_weights(point: Point) -> FloatArray:
    """Return all final weights and biases ``(P,)`` float64, in the order of their names."""
    directory = point.identity.directory
    tensors = load(directory.read(directory.model))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)


def untrained(point: Point) -> tuple[Dataset, nn.Module]:
    """Return a run's data and its model with the initial weights of its seed, on the CPU."""
    parts = build(point.config)
    return parts.dataset, parts.model.cpu()


def of_config(points: Sequence[Point], key: str) -> float:
    """Return the number that all runs have at a key of their configuration.

    Raises:
        ValueError: They differ.
    """
    section, _, rest = key.partition(".")
    values = set()
    for point in points:
        node = point.config[section]
        for part in rest.split("."):
            node = node[part]
        values.add(float(node))
    if len(values) != 1:
        raise ValueError(f"the runs have {key}={sorted(values)}; give them all one value")
    return values.pop()
