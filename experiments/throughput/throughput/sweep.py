"""Whole commands: a sweep on all cores beside one process, a quick study, a report on many runs."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from losslab.recording import Run, locate, place
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs
from throughput import in_turn, median, ratio

_LOSSLAB = [sys.executable, "-m", "losslab"]
_SEEDS = 5


def sweep(_: Runs, *, words: list[str], rounds: int) -> Measurement:
    """Time a sweep with a one-thread worker a core, and run by run in one two-thread process.

    Args:
        words: Of ``losslab train -m``.
        rounds: Each one's, in turn.

    Returns:
        ``speedup``: of the workers; ``runs_a_minute``: theirs.
    """
    ways = {"a worker a core": [], "one process": ["launcher=serial", "trainer.threads=2"]}
    counts = set()

    def run(extra: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            counts.add(len(train([*words, *extra], Path(folder))))

    seconds = in_turn({name: partial(run, extra) for name, extra in ways.items()}, rounds)
    (count,) = counts
    rates = [60 * count / each for each in seconds["a worker a core"]]
    rows = [
        [name, str(count), ", ".join(f"{each:.1f}" for each in times)]
        for name, times in seconds.items()
    ]
    return Measurement(
        quantities={
            "speedup": ratio(seconds, "one process", "a worker a core"),
            "runs_a_minute": median(rates, "runs a minute, a one-thread worker a core"),
        },
        tables=[TableOfNumbers(title="A sweep", columns=["", "runs", "seconds"], rows=rows)],
    )


def train(words: list[str], folder: Path) -> list[float]:
    """Do a sweep, words of ``losslab train -m``; return the test accuracy of each run."""
    _call(["train", "-m", *words, f"output_dir={folder}"])
    summaries = [json.loads(path.read_text()) for path in folder.rglob("summary.json")]
    return [summary["test/accuracy"] for summary in summaries]


def command(_: Runs, *, words: list[str], rounds: int) -> Measurement:
    """Time a command of losslab, in a new folder each time.

    Returns:
        ``first``: seconds to its first line; ``seconds``: to its end.
    """
    firsts = []

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            with subprocess.Popen(
                [*_LOSSLAB, *words, f"output_dir={folder}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                firsts.append(time.perf_counter() - started)
                process.stdout.read()
            if process.returncode:
                raise ValueError(f"losslab {' '.join(words)} ended with code {process.returncode}")

    seconds = in_turn({"": run}, rounds)[""]
    return Measurement(
        quantities={
            "first": median(firsts[1:], "seconds to the first line"),
            "seconds": median(seconds, "seconds to the end"),
        }
    )


def report(_: Runs, *, runs: int, rounds: int) -> Measurement:
    """Time ``losslab report`` over copies of one small run, each configuration with five seeds.

    Returns:
        ``seconds``: of the command.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tiny = ["data=synthetic", "model=linear", "trainer.epochs=2", "diagnostics=none"]
        _call(["train", *tiny, f"output_dir={root}", "name=one"])
        (run,) = root.glob("one/*/seed=0")
        _copy(run, root / "many", configurations=runs // _SEEDS)
        again: Callable[[], None] = partial(_call, ["report", str(root / "many")])
        seconds = in_turn({"": again}, rounds)[""]
    return Measurement(quantities={"seconds": median(seconds, f"seconds, {runs} runs")})


def _call(words: list[str]) -> None:
    subprocess.run([*_LOSSLAB, *words], check=True, stdout=subprocess.DEVNULL)


def _copy(run: Path, root: Path, *, configurations: int) -> None:
    """Copy a run to all seeds of many learning rates, with numbers of its own each."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    summary = json.loads((run / "summary.json").read_text())
    groups = {f"cross_entropy-lr={n}-{n:08x}": n for n in range(1, configurations + 1)}
    place(root, groups)
    for group, number in groups.items():
        config["optimizer"]["lr"] = number / configurations
        for seed in range(_SEEDS):
            config["seed"] = seed
            summary["test/accuracy"] = 0.5 + (number * 7 + seed * 13) % 1000 / 2500
            made = locate(root, group) / f"seed={seed}"
            shutil.copytree(run, made)
            (made / "config.yaml").write_text(yaml.safe_dump(config))
            (made / "summary.json").write_text(json.dumps(summary))
            Run.at(made).finish("done")  # or a report would find it altered
