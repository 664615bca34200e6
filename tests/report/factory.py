"""Small run directories with known numbers, written as losslab writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

EXAMPLES, CLASSES = 120, 4
MANIFEST = {
    "losslab": "0.1.0",
    "torch": "2.15.0",
    "device": "cpu",
    "cpu": "a slow core",
    "threads": 1,
    "commit": "0123abc",
    "dirty": False,
    "choices": {"loss": "mse"},
    "command": "losslab study tiny",
    "start": "2026-11-01T10:00:00",
    "end": "2026-11-01T10:00:10",
}


def logits_with_accuracy(accuracy: float, *, seed: int, size: int = EXAMPLES, sharpness: float = 3):
    """Return (logits, labels): about this accuracy, the same examples hard for every seed."""
    labels = np.arange(size) % CLASSES
    difficulty = np.random.default_rng(0).permutation(size) / size
    noise = np.random.default_rng([seed, 1]).normal(0, 0.03, size)
    right = difficulty + noise < accuracy
    top = np.where(right, labels, (labels + 1) % CLASSES)
    logits = np.random.default_rng([seed, 2]).normal(0, 0.3, (size, CLASSES))
    logits[np.arange(size), top] += sharpness
    return logits.astype(np.float32), labels


def write_run(
    root: Path,
    name: str,
    *,
    accuracy: float | None = 0.9,
    status: str = "done",
    error: str | None = None,
    config: dict[str, Any] | None = None,
    curve: tuple[float, ...] = (0.5, 0.8),
    logits: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    predictions: bool = True,
    size: int = EXAMPLES,
    manifest: dict[str, Any] = MANIFEST,
) -> Path:
    """Write one run directory; ``accuracy`` is that of validation and (about) of test."""
    path = root / name
    path.mkdir(parents=True)
    seed = int(name.rsplit("seed=", 1)[1])
    state = {"status": status} | ({"error": error} if error else {})
    (path / "status.json").write_text(json.dumps(state))
    (path / "config.yaml").write_text(yaml.safe_dump(config or {"loss": {}, "seed": seed}))
    (path / "manifest.json").write_text(json.dumps(manifest))
    records = [{"step": 0, "epoch": 0, "wall_s": 0.1, "train/objective": 2.3}]
    values = (*curve, accuracy) if accuracy is not None else curve
    records += [
        {"step": 10 * epoch, "epoch": epoch, "val/accuracy": value}
        for epoch, value in enumerate(values, start=1)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (path / "metrics.jsonl").write_text(lines)
    if status in ("done", "diverged"):
        if logits is None or labels is None:
            logits, labels = logits_with_accuracy(accuracy or 0.0, seed=seed, size=size)
        final = float((logits.argmax(axis=1) == labels).mean())
        summary = {"val/accuracy": accuracy, "test/accuracy": final}
        (path / "summary.json").write_text(
            json.dumps({tag: value for tag, value in summary.items() if value is not None})
        )
        if predictions:
            tensors = {
                f"{split}/{key}": np.ascontiguousarray(value, dtype=np.float32)
                for split in ("val", "test")
                for key, value in (("logits", logits), ("labels", labels))
            }
            save_file(tensors, path / "predictions.safetensors")
    return path


# Arm to (accuracy by learning rate, chosen rate): the reference's best is 0.1.
TINY = {
    "cross_entropy": ({0.01: 0.80, 0.1: 0.95, 1.0: 0.60}, 0.1),
    "mse": ({0.01: 0.70, 0.1: 0.94, 1.0: 0.30}, 0.1),
    "mse_softmax": ({0.01: 0.20, 0.1: 0.30, 1.0: 0.90}, 1.0),
}
TUNING_SEEDS, CONFIRMING_SEEDS = range(3), range(100, 108)


def run_name(arm: str, value: float, seed: int) -> str:
    return f"{arm}-lr={value:g}-0a1b2c3d/seed={seed}"


def tiny_plan() -> dict[str, Any]:
    """Return the plan of a study of three losses, three rates, three and eight seeds."""
    rates = {arm: {"reference": 0.1, "own": chosen} for arm, (_, chosen) in TINY.items()}

    def side(arm: str, rate: str = "own") -> dict[str, str]:
        return {"arm": arm, "rate": rate}

    def claim(name: str, left: dict[str, str], direction: str, metric: str = "test/accuracy"):
        return {
            "id": name,
            "statement": f"A statement called {name}.",
            "source": "A book, 2016",
            "metric": metric,
            "left": left,
            "right": side("cross_entropy"),
            "direction": direction,
            "smallest_effect": 0.04,
        }

    return {
        "study": "tiny",
        "title": "A tiny study",
        "question": "How far behind is squared error?",
        "command": "losslab study tiny",
        "arms": {
            "cross_entropy": {"label": "cross-entropy"},
            "mse": {"label": "squared error, raw"},
            "mse_softmax": {"label": "squared error, softmax"},
        },
        "reference": "cross_entropy",
        "parameter": "optimizer.lr",
        "values": [0.01, 0.1, 1.0],
        "select": "val/accuracy",
        "tune": [
            {"arm": arm, "value": value, "seed": seed, "run": run_name(arm, value, seed)}
            for arm, (by_value, _) in TINY.items()
            for value in by_value
            for seed in TUNING_SEEDS
        ],
        "chosen": {arm: chosen for arm, (_, chosen) in TINY.items()},
        "confirm": [
            {"arm": arm, "rate": rate, "value": v, "seed": s, "run": run_name(arm, v, s)}
            for arm, by_rate in rates.items()
            for rate, v in by_rate.items()
            for s in CONFIRMING_SEEDS
        ],
        "claims": [
            claim("naive", side("mse_softmax", "reference"), "less"),
            claim("level", side("mse"), "equal"),
            claim("better", side("mse"), "greater"),
            claim("calibrated", side("mse_softmax"), "greater", "test/ece"),
        ],
    }


def write_study(root: Path, plan: dict[str, Any], *, only: Callable[[str], bool] = bool) -> Path:
    """Write a study's plan and those of its runs whose name passes ``only``."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "study.json").write_text(json.dumps(plan))
    planned = {run["run"]: run for run in plan["tune"] + plan["confirm"]}
    for name, run in planned.items():
        if only(name):
            accuracy = TINY[run["arm"]][0][run["value"]]
            # Tuning seeds differ a little, around a known mean.
            accuracy += (run["seed"] - 1) * 0.01 if run["seed"] < 100 else 0.0
            write_run(root, name, accuracy=accuracy)
    return root


def write_old_study(root: Path) -> Path:
    """Write the tiny study with a waterfall and measured quantities, as version 0.1 had it."""
    sides = {"as typed": "reference", "rate tuned": "own"}
    steps = [{"label": k, "arm": "mse_softmax", "rate": rate} for k, rate in sides.items()]
    intervals = {"exact": (None, None), "sure": (0.4, 0.6), "weak": (0.22, 0.78)}
    intervals |= {"weaker": (0.21, 0.79)}
    about = {"source": "A book, 2016", "at_least": 0.2, "at_most": None, "discussion": ""}
    plan = tiny_plan() | {"steps": steps}
    plan["claims"] += [
        about | {"id": name, "statement": f"It is {name}.", "quantity": f"measure.{name}"}
        for name in intervals
    ]
    write_study(root, plan)
    evidence = {
        "manifest": {},
        "measurements": {
            "measure": {
                "quantities": {
                    name: {"value": 0.5, "low": low, "high": high, "n": 5, "what": "A number."}
                    for name, (low, high) in intervals.items()
                },
                **{"drawings": [], "tables": []},
            }
        },
    }
    (root / "evidence.json").write_text(json.dumps(evidence))
    return root
