"""Runs a minute of each engine, bare and recorded, on this machine's CPU or GPU."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, product
from typing import Any

import torch
from torch.nn import functional

from losslab.experiment import Composer
from losslab.experiment.build import Parts, build
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs
from losslab.training import Loop, configure_process, train_together
from throughput import in_turn, median, planned, ratio, recorded
from throughput.loops import bare_loop, model_and_optimizer, tensors

_LOSSES = ("cross_entropy", "mse", "mse_softmax", "brier")
_RATES = (0.03, 0.01, 0.1, 0.3)
_OF_EACH = 2  # runs of an engine that trains one at a time: they are alike


def engines(
    _: Runs, *, words: list[str], sizes: list[int], rounds: int, device: str = "cpu"
) -> Measurement:
    """Time the engines on runs of four losses at four rates, seeds as many as it takes.

    *Bare* trains and validates; *recorded* is ``losslab train -m`` from the planned runs on, in one
    process: run directories, TensorBoard, the default diagnostics, final evaluation, files.

    Args:
        words: Of a command, each run.
        sizes: Of stacks.
        rounds: Each contestant's, in turn.
        device: ``cpu`` or ``cuda``, where captured graphs take part, too.

    Returns:
        ``stacked_<size>`` and ``graph``: their recorded speed over that of eager;
        ``recorded_<size>``: a recorded stack's speed over that of a bare one.
    """
    cuda = torch.device(device).type == "cuda"
    contestants: dict[str, Callable[[], None]] = {}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, Composer() as composer:
        common = [*words, f"output_dir={folder}", f"trainer.device={device}"]
        ways = [("eager", 1), *[("graph", 1)] * cuda, *(("stacked", size) for size in sizes)]
        for engine, size in ways:
            runs = _plan(composer, common, engine, size)
            name = engine if engine != "stacked" else f"stacked, {size} at once"
            for kind, act in (("bare", _bare), ("recorded", recorded)):
                contestants[f"{name}, {kind}"] = partial(act, runs)
                counts[f"{name}, {kind}"] = len(runs)
        one = _plan(composer, common, "eager", 1)[0]
        others = {"a bare loop of torch": bare_loop}
        if cuda:
            others["a bare graph of torch"] = bare_graph
        for name, loop in others.items():
            contestants[name] = partial(_built, loop, one)
            counts[name] = 1
        seconds = in_turn(contestants, rounds)
    per_run = {name: [s / counts[name] for s in times] for name, times in seconds.items()}
    quantities = {}
    for size in sizes:
        name = f"stacked, {size} at once"
        quantities[f"stacked_{size}"] = ratio(per_run, "eager, recorded", f"{name}, recorded")
        quantities[f"recorded_{size}"] = ratio(per_run, f"{name}, bare", f"{name}, recorded")
    if cuda:
        quantities["graph"] = ratio(per_run, "eager, recorded", "graph, recorded")
    rows = []
    for name, times in per_run.items():
        speed = median([60 / each for each in times], f"runs a minute, {name}")
        quantities[name] = speed
        rows.append([name, f"{speed.value:.1f} [{speed.low:.1f}, {speed.high:.1f}]"])
    title = f"Runs a minute on {torch.cuda.get_device_name() if cuda else 'the CPU, one thread'}"
    table = TableOfNumbers(title=title, columns=["", "runs a minute"], rows=rows)
    return Measurement(quantities=quantities, tables=[table])


def _built(loop: Callable[[Parts], None], run: Run) -> None:
    loop(build(run.composed))


def _plan(composer: Composer, words: Sequence[str], engine: str, size: int) -> list[Run]:
    """Return planned runs, to be trained ``size`` at once."""
    base = [*words, f"trainer.engine={engine}", f"trainer.stack_size={size}", "force=true"]
    count = _OF_EACH if size == 1 else size
    return [
        planned(
            composer,
            [*base, f"name={engine}{size}", f"loss={loss}", f"optimizer.lr={rate}", f"seed={seed}"],
        )
        for seed, loss, rate in islice(product(range(count), _LOSSES, _RATES), count)
    ]


def _bare(runs: Sequence[Run]) -> None:
    """Train and validate, and write nothing."""
    loops = []
    for run in runs:
        parts = build(run.composed)
        configure_process(parts.trainer)
        loop = Loop(
            step=parts.step(),
            schedule=parts.schedule,
            settings=parts.trainer,
            train=parts.loader("train"),
            val=parts.loader("val"),
            seed=run.seed,
        )
        loops.append(loop)
    train_together(loops)


def bare_graph(parts: Parts) -> None:
    """Train as :func:`bare_loop`, the step captured in a CUDA graph and replayed."""
    images, labels = tensors(parts, "train")
    model, optimizer = model_and_optimizer(parts, channels_last=True)
    size = parts.trainer.batch_size
    x, y = images[:size].clone(), labels[:size].clone()

    def step() -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x.permute(0, 3, 1, 2)), y)
        torch.autograd.backward(loss)
        optimizer.step()

    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for _ in range(parts.trainer.epochs or 0):
        order = torch.randperm(len(labels), device=labels.device)
        for chosen in order[: len(order) // size * size].view(-1, size):
            x.copy_(images[chosen])
            y.copy_(labels[chosen])
            graph.replay()
