"""Time ``losslab report`` over thousands of runs: copies of one real small run."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from losslab.recording import locate, place

SEEDS = 5
TINY = ("data=synthetic", "model=linear", "trainer.epochs=2", "diagnostics=none")


def main() -> None:
    """Make the runs, report on them, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        losslab = [sys.executable, "-m", "losslab"]
        train = [*losslab, "train", *TINY, f"output_dir={root}", "name=one"]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        (run,) = root.glob("one/*/seed=0")
        copy(run, root / "many", configurations=runs // SEEDS)
        began = time.perf_counter()
        subprocess.run(
            [*losslab, "report", str(root / "many")], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - began
        largest = max(sum(1 for _ in f.iterdir()) for f in (root / "many").rglob("*") if f.is_dir())
    print(f"{runs} runs, {runs // SEEDS} configurations: report in {seconds:.1f} s")
    print(f"the largest folder has {largest} entries")


def copy(run: Path, root: Path, *, configurations: int) -> None:
    """Copy a run to all seeds of many learning rates, with numbers of its own each."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    summary = json.loads((run / "summary.json").read_text())
    groups = {f"cross_entropy-lr={n}-{n:08x}": n for n in range(1, configurations + 1)}
    place(root, groups)
    for group, number in groups.items():
        config["optimizer"]["lr"] = number / configurations
        for seed in range(SEEDS):
            config["seed"] = seed
            summary["test/accuracy"] = 0.5 + (number * 7 + seed * 13) % 1000 / 2500
            made = locate(root, group) / f"seed={seed}"
            shutil.copytree(run, made)
            (made / "config.yaml").write_text(yaml.safe_dump(config))
            (made / "summary.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main()
