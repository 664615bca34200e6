"""The sweep of another project, lightning-hydra-template, beside losslab's."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import pandas as pd

from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs
from throughput import in_turn, ratio
from throughput.sweep import train

_TITLE = "A sweep of MNIST beside lightning-hydra-template's"


def template(
    _: Runs, *, checkout: str, commit: str, words: list[str], options: list[str], rounds: int
) -> Measurement:
    """Time a sweep by losslab and one like it by lightning-hydra-template, each as it comes.

    Both train losslab's network with SGD on as many digits of MNIST for as many epochs at the same
    rates, validate after each epoch and test at the end. losslab has a worker a core, the template
    Hydra's own launcher, which does one run after another with all cores. The template splits the
    digits in its own way and tests the checkpoint that was best in validation.

    Args:
        checkout: The template's folder, with MNIST in its ``data`` and an environment ``.venv``
            that has losslab, too; without it nothing is measured.
        commit: Of the checkout, for the table.
        words: Of ``losslab train -m``.
        options: Of the template's ``src/train.py -m``, which do the same.
        rounds: Each one's, in turn.

    Returns:
        ``speedup``: the template's time over losslab's.
    """
    folder = Path(checkout).absolute()
    python = folder / ".venv" / "bin" / "python"
    if not python.exists():
        rows = [["not measured", f"no {checkout}/.venv"]]
        return Measurement(tables=[TableOfNumbers(title=_TITLE, columns=["", ""], rows=rows)])
    accuracies: dict[str, list[float]] = {}

    def ours() -> None:
        with tempfile.TemporaryDirectory() as out:
            accuracies["losslab"] = train(words, Path(out))

    def theirs() -> None:
        with tempfile.TemporaryDirectory() as out:
            command = [str(python), "src/train.py", "-m", *options, f"paths.log_dir={out}"]
            # Its checkpoints hold the network, which torch loads only if told to.
            env = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
            if done.returncode:
                raise ValueError(f"{shlex.join(command)} failed: {done.stderr[-1000:]}")
            tables = [pd.read_csv(path) for path in Path(out).rglob("metrics.csv")]
            accuracies[other] = [float(table["test/acc"].dropna().iloc[-1]) for table in tables]

    other = f"lightning-hydra-template, {commit}"
    seconds = in_turn({"losslab": ours, other: theirs}, rounds)
    rows = [
        [
            name,
            str(len(accuracies[name])),
            ", ".join(f"{each:.1f}" for each in times),
            ", ".join(f"{100 * each:.1f}%" for each in sorted(accuracies[name])),
        ]
        for name, times in seconds.items()
    ]
    columns = ["", "runs", "seconds", "test accuracies"]
    return Measurement(
        quantities={"speedup": ratio(seconds, other, "losslab")},
        tables=[TableOfNumbers(title=_TITLE, columns=columns, rows=rows)],
    )
