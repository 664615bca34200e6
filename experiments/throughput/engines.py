"""Runs a minute of each engine, bare and recorded, on this machine's CPU or GPU.

    uv run python experiments/throughput/engines.py [--device cuda] [--rounds 3] [--epochs 8]

All in one process, in turn; medians over the rounds. A run is one of the headline study: small_cnn
of width 8 on mnist5k, batch 64, four losses at four rates, seeds as many as it takes. *Bare* trains
and validates; *recorded* is ``losslab train -m`` from the planned runs on: run directories,
TensorBoard, the default diagnostics, final evaluation and files. Writes ``engines-<device>.json``
beside this file.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, product
from pathlib import Path

import torch

from losslab.experiment import Composer, choices_of, perform, plan_run, stacks
from losslab.experiment.build import build
from losslab.experiment.compose import without_hydra
from losslab.recording import Run, manifest
from losslab.training import Loop, configure_process, train_together

HERE = Path(__file__).parent
LOSSES = ("cross_entropy", "mse", "mse_softmax", "brier")
RATES = (0.03, 0.01, 0.1, 0.3)
# Engine and how many runs train at once.
ENGINES = (("eager", 1), ("graph", 1), *(("stacked", size) for size in (1, 8, 64, 256)))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--most", type=int, default=256, help="largest stack")
    given = parser.parse_args()
    contestants: dict[str, Callable[[], None]] = {}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, Composer() as composer:
        for engine, size in ENGINES:
            if size > given.most or (engine == "graph" and given.device == "cpu"):
                continue
            for kind, act in (("bare", bare), ("recorded", recorded)):
                # Eager runs are alike: a few tell how long one takes.
                count = 2 if size == 1 else size
                runs = plan(composer, engine, size, count, folder, given.device, given.epochs)
                name = f"{engine}, {size} at once, {kind}"
                contestants[name], counts[name] = partial(act, runs), count
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(given.rounds + 1):
            for name, contestant in contestants.items():
                synchronize()
                started = time.perf_counter()
                contestant()
                synchronize()
                if turn:  # the first one compiles and fills caches
                    seconds[name].append(time.perf_counter() - started)
    images = given.epochs * 4000
    rows = [
        {
            "engine": name,
            "runs a minute": round(60 * counts[name] / (median := statistics.median(times)), 1),
            "images a second": round(counts[name] * images / median),
            "range of runs a minute": [
                round(60 * counts[name] / each, 1) for each in (max(times), min(times))
            ],
        }
        for name, times in seconds.items()
    ]
    about = manifest(command="engines.py", device=given.device, threads=1, choices={})
    if given.device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    kind = torch.device(given.device).type
    text = json.dumps({"manifest": about, "epochs": given.epochs, "rows": rows}, indent=2)
    (HERE / f"engines-{kind}.json").write_text(text + "\n", encoding="utf-8")
    for row in rows:
        print(*row.values(), sep="  ")


def plan(
    composer: Composer,
    engine: str,
    size: int,
    count: int,
    folder: str,
    device: str,
    epochs: int,
) -> list[Run]:
    """Return runs of the headline study, planned, to be trained ``size`` at once."""
    base = [
        *("data=mnist5k", "model=small_cnn", "model.width=8", f"trainer.epochs={epochs}"),
        *(f"trainer.device={device}", f"trainer.engine={engine}", f"output_dir={folder}"),
        *("force=true", f"name={engine}{size}", f"trainer.stack_size={size}"),
    ]
    points = product(range(count), LOSSES, RATES)
    runs = []
    for seed, loss, rate in islice(points, count):
        full = composer.vary([*base, f"loss={loss}", f"optimizer.lr={rate}", f"seed={seed}"])
        runs.append(plan_run(without_hydra(full), choices_of(full.hydra)))
    return runs


def bare(runs: Sequence[Run]) -> None:
    """Train and validate, and write nothing."""
    loops = []
    for run in runs:
        parts = build(run.composed)
        configure_process(parts.trainer)
        loops.append(
            Loop(
                step=parts.step(),
                schedule=parts.schedule,
                settings=parts.trainer,
                train=parts.loader("train"),
                val=parts.loader("val"),
                seed=run.seed,
            )
        )
    train_together(loops)


def recorded(runs: Sequence[Run]) -> None:
    """Do the runs as a sweep does."""
    for together in stacks(runs):
        assert set(perform(together)) <= {"done", "diverged"}


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
