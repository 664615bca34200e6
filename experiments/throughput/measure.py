"""Images per second of losslab's training loop beside a bare loop and a DataLoader loop.

All in one process, in turn, so that a machine that slows down slows all of them; the medians of
the ratios round by round are what counts. Run from the checkout:

    uv run python experiments/throughput/measure.py            # the loops, about 5 minutes
    uv run python experiments/throughput/measure.py --sweep    # the headline grid, about 6 minutes

Each writes its table beside this file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from losslab.data import BatchLoader, Part
from losslab.data import Dataset as Parted
from losslab.diagnostics import DiagnosticRunner, probe_of
from losslab.experiment import Composer, choices_of, complete, plan_run
from losslab.experiment.build import Parts, build
from losslab.experiment.compose import without_hydra
from losslab.recording import manifest
from losslab.training import configure_process, evaluate, fit

HERE = Path(__file__).parent
ROUNDS = 9
# The headline study's and the default network.
SETTINGS = {"model.width=8": 8, "model.width=16": 10}


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", action="store_true", help="time the headline grid instead")
    if parser.parse_args().sweep:
        _write("sweep", measure_sweep())
    else:
        _write("loops", [measure_loops(*setting) for setting in SETTINGS.items()])


def measure_loops(setting: str, epochs: int) -> dict[str, str | float]:
    """Return images per second of the three loops and the ratios, medians over the rounds."""
    overrides = [setting, f"trainer.epochs={epochs}", "schedule=constant"]
    with Composer() as composer:
        full = {
            name: composer.compose([*overrides, f"diagnostics={name}"])
            for name in ("none", "default")
        }
    configs = {name: without_hydra(node) for name, node in full.items()}
    config = configs["none"]
    parts = build(config)
    configure_process(parts.trainer)
    images = epochs * len(parts.dataset.train.labels)

    def losslab_run(name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            configs[name].output_dir = folder
            complete(plan_run(configs[name], choices_of(full[name].hydra), "measure.py"))

    contestants: dict[str, Callable[[], None]] = {
        "losslab": lambda: losslab_run("none"),
        "losslab with diagnostics": lambda: losslab_run("default"),
        "losslab with diagnostics, nothing recorded": lambda: unrecorded(
            build(configs["default"]), epochs
        ),
        "bare loop": lambda: bare_loop(build(config), epochs, config.optimizer.lr),
        "DataLoader": lambda: data_loader_loop(build(config), epochs, config.optimizer.lr),
    }
    for contestant in contestants.values():  # compiles, fills caches
        contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            started = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - started)
    row: dict[str, str | float] = {"setting": f"small_cnn {setting}, batch 64, {epochs} epochs"}
    for name, times in seconds.items():
        row[f"{name}, images/s"] = round(images / statistics.median(times))
    for ours, other in (
        ("losslab", "bare loop"),
        ("losslab", "DataLoader"),
        ("losslab with diagnostics", "losslab"),
        ("losslab with diagnostics", "losslab with diagnostics, nothing recorded"),
    ):
        pairs = zip(seconds[other], seconds[ours], strict=True)
        ratios = [theirs / mine for theirs, mine in pairs]
        row[f"{ours} / {other}"] = round(statistics.median(ratios), 3)
        row[f"{ours} / {other}, range"] = f"{min(ratios):.3f} to {max(ratios):.3f}"
    return row


def unrecorded(parts: Parts, epochs: int) -> None:
    """Train with the default diagnostics and without a run directory."""
    step, train = parts.step(), parts.loader("train")
    diagnostic_runner = DiagnosticRunner(
        parts.diagnostics,
        model=step.model,
        objective=step.objective,
        probe=probe_of(train.in_order(), parts.trainer.probe_size),
    )
    fit(
        step.model,
        step.objective,
        step.optimizer,
        train=train,
        val=parts.loader("val"),
        epochs=epochs,
        schedule=parts.schedule,
        diagnose=diagnostic_runner.after_epoch,
    )
    evaluate(step.model, parts.loader("test"))


def bare_loop(parts: Parts, epochs: int, rate: float) -> None:
    """Train and validate with nothing but torch, on float tensors normalised beforehand."""
    data = parts.dataset
    train_images, train_labels = _tensors(data, "train")
    val_images, val_labels = _tensors(data, "val")
    model = parts.model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(epochs):
        order = torch.randperm(len(train_labels))
        for chosen in torch.split(order, parts.trainer.batch_size):
            # Rows of (N, H, W, C), seen as (N, C, H, W): the layout that losslab trains with.
            batch = train_images[chosen].permute(0, 3, 1, 2)
            _step(model, optimizer, batch, train_labels[chosen])
        _validate(model, val_images.permute(0, 3, 1, 2), val_labels)
    _validate(
        model, *((x.permute(0, 3, 1, 2) if x.ndim == 4 else x) for x in _tensors(data, "test"))
    )


def data_loader_loop(parts: Parts, epochs: int, rate: float) -> None:
    """Train as tutorials do: images, ToTensor, Normalize, a DataLoader without workers."""
    data = parts.dataset
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(data.mean), list(data.std)),
        ]
    )
    loaders: dict[str, DataLoader[tuple[Tensor, int]]] = {
        part: DataLoader(
            _Images(getattr(data, part), transform),
            batch_size=parts.trainer.batch_size,
            shuffle=part == "train",
        )
        for part in ("train", "val", "test")
    }
    model = parts.model
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(epochs):
        for images, labels in loaders["train"]:
            _step(model, optimizer, images, labels)
        for images, labels in loaders["val"]:
            _validate(model, images, labels)
    for images, labels in loaders["test"]:
        _validate(model, images, labels)


class _Images(Dataset[tuple[Tensor, int]]):
    """Images as arrays, as torchvision's MNIST has them."""

    def __init__(self, part: Part, transform: v2.Compose) -> None:
        self._transform = transform
        self._images = part.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = part.labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._images[index]), self._labels[index]


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    loss = functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


@torch.no_grad()
def _validate(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((model(images).argmax(1) == labels).double().mean())


def _tensors(data: Parted, part: str) -> tuple[Tensor, Tensor]:
    examples = getattr(data, part)
    loader = BatchLoader(examples, batch_size=1, mean=data.mean, std=data.std)
    images = torch.cat([batch.images for batch in loader.in_order()])
    return images.permute(0, 2, 3, 1).contiguous(), examples.labels


def measure_sweep() -> list[dict[str, str | float]]:
    """Time the tuning grid of the headline study: all cores, then one two-thread process."""
    with Composer() as composer:
        study = composer.compose(["+study=why_squared_error"]).study
    losses = ",".join(arm.overrides[0].removeprefix("loss=") for arm in study.arms.values())
    grid = [
        *study.base,
        f"loss={losses}",
        f"{study.parameter}={','.join(map(str, study['values']))}",
        f"seed={','.join(map(str, study.tune_seeds))}",
    ]
    rows: list[dict[str, str | float]] = []
    for title, extra in (
        ("default: one one-thread worker a core", []),
        ("one after another in one two-thread process", ["launcher=serial", "trainer.threads=2"]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "losslab", "train", "-m", *grid, *extra]
            started = time.perf_counter()
            subprocess.run([*command, f"output_dir={folder}"], check=True)
            runs = len(list(Path(folder).rglob("summary.json")))
            rows.append(
                {
                    "headline grid": title,
                    "runs": runs,
                    "seconds": round(time.perf_counter() - started, 1),
                }
            )
    rows[0]["speed-up"] = round(float(rows[1]["seconds"]) / float(rows[0]["seconds"]), 2)
    return rows


def _write(name: str, rows: list[dict[str, str | float]]) -> None:
    about = manifest(command=f"measure.py ({name})", device="cpu", threads=1, choices={})
    (HERE / f"{name}.json").write_text(
        json.dumps({"manifest": about, "rows": rows}, indent=2) + "\n", encoding="utf-8"
    )
    for row in rows:
        for key, value in row.items():
            print(f"{key}: {value}")
        print()


if __name__ == "__main__":
    main()
