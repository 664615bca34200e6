"""losslab's training loop beside a bare loop and a DataLoader loop, and where a run's time goes."""

import tempfile
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from losslab.data import BatchLoader, Part
from losslab.diagnostics import DiagnosticRunner, probe_of
from losslab.experiment import Composer
from losslab.experiment.build import Parts, build
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs
from losslab.training import configure_process, evaluate, fit
from throughput import in_turn, median, planned, ratio, recorded


def loops(_: Runs, *, words: list[str], rounds: int) -> Measurement:
    """Time one run of losslab and the same training by other loops.

    *losslab* is a whole run without diagnostics: metrics, TensorBoard, validation before training
    and after each epoch, checkpoints, final evaluation, files. *Its loop* is :func:`losslab.fit`
    with validation and no run directory. The *bare loop* trains on float tensors that were
    normalised before the clock started and laid out as losslab's are, validates once an epoch and
    tests at the end. The *DataLoader* loop is the tutorial's: images, ``ToImage``, ``ToDtype``,
    ``Normalize``, no workers.

    Args:
        words: Of a command, the run.
        rounds: Each contestant's, in turn.

    Returns:
        ``bare``, ``step``, ``dataloader``: the speed of losslab's run, and of its loop alone, over
        others'; ``outside``: the share of a run's time, with the default diagnostics, that is not
        training steps; ``<contestant>``: images a second.
    """
    with tempfile.TemporaryDirectory() as folder, Composer() as composer:
        common = [*words, "schedule=constant", f"output_dir={folder}", "force=true"]
        bare_run = planned(composer, [*common, "diagnostics=none"])
        full_run = planned(composer, [*common, "diagnostics=default"])
        parts = build(bare_run.composed)
        configure_process(parts.trainer)

        def act(contestant: Callable[[Parts], object], run: Run = bare_run) -> Callable[[], object]:
            return lambda: contestant(build(run.composed))

        seconds = in_turn(
            {
                "losslab": lambda: recorded([bare_run]),
                "losslab, default diagnostics": lambda: recorded([full_run]),
                "its loop": act(fitted),
                "its loop, default diagnostics": act(fitted, full_run),
                "its steps": act(partial(fitted, validate=False)),
                "bare loop": act(bare_loop),
                "DataLoader": act(data_loader_loop),
            },
            rounds,
        )
    settings = parts.trainer
    images = (settings.epochs or 0) * len(parts.dataset.train.labels)
    whole = seconds["losslab, default diagnostics"]
    outside = [1 - s / all_ for s, all_ in zip(seconds["its steps"], whole, strict=True)]
    quantities = {
        "bare": ratio(seconds, "bare loop", "losslab"),
        "step": ratio(seconds, "bare loop", "its loop"),
        "dataloader": ratio(seconds, "DataLoader", "losslab"),
        "outside": median(outside, "share of a run's time outside training steps"),
    } | {
        name: median([images / s for s in times], f"images a second, {name}")
        for name, times in seconds.items()
    }
    means = {name: median(times, "seconds").value for name, times in seconds.items()}
    spent = {
        "training steps": means["its steps"],
        "validation": means["its loop"] - means["its steps"],
        "diagnostics": means["its loop, default diagnostics"] - means["its loop"],
        "set-up, records, test, files": means["losslab, default diagnostics"]
        - means["its loop, default diagnostics"],
    }
    tables = [
        TableOfNumbers(
            title=f"Images a second: {' '.join(words)}",
            columns=["", "images a second", "seconds"],
            rows=[[name, f"{images / s:,.0f}", f"{s:.2f}"] for name, s in means.items()],
        ),
        TableOfNumbers(
            title=f"Where a run's time goes (differences of medians): {' '.join(words)}",
            columns=["", "ms", "share"],
            rows=[
                [name, f"{1000 * s:.0f}", f"{s / sum(spent.values()):.1%}"]
                for name, s in spent.items()
            ],
        ),
    ]
    return Measurement(quantities=quantities, tables=tables)


def fitted(parts: Parts, *, validate: bool = True) -> None:
    """Train with losslab's loop, without a run directory; with its diagnostics, if any."""
    step, train = parts.step(), parts.loader("train")
    runner = DiagnosticRunner(
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
        val=parts.loader("val") if validate else None,
        epochs=parts.trainer.epochs,
        schedule=parts.schedule,
        diagnose=runner.after_epoch if parts.diagnostics else None,
    )
    if validate:
        evaluate(step.model, parts.loader("test"))


def bare_loop(parts: Parts) -> None:
    """Train and validate with nothing but torch, on float tensors normalised beforehand."""
    train_images, train_labels = tensors(parts, "train")
    val_images, val_labels = tensors(parts, "val")
    model, optimizer = model_and_optimizer(parts, channels_last=True)
    for _ in range(parts.trainer.epochs or 0):
        order = torch.randperm(len(train_labels), device=train_labels.device)
        for chosen in torch.split(order, parts.trainer.batch_size):
            # Rows of (N, H, W, C), seen as (N, C, H, W): the layout that losslab trains with.
            batch = train_images[chosen].permute(0, 3, 1, 2)
            _step(model, optimizer, batch, train_labels[chosen])
        _validate(model, val_images.permute(0, 3, 1, 2), val_labels)
    test_images, test_labels = tensors(parts, "test")
    _validate(model, test_images.permute(0, 3, 1, 2), test_labels)


def data_loader_loop(parts: Parts) -> None:
    """Train as tutorials do: images, ToTensor, Normalize, a DataLoader without workers."""
    data = parts.dataset
    steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*steps, v2.Normalize(list(data.mean), list(data.std))])
    loaders: dict[str, DataLoader[tuple[Tensor, int]]] = {
        part: DataLoader(
            _Images(getattr(data, part), transform),
            batch_size=parts.trainer.batch_size,
            shuffle=part == "train",
        )
        for part in ("train", "val", "test")
    }
    model, optimizer = model_and_optimizer(parts, channels_last=False)
    for _ in range(parts.trainer.epochs or 0):
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


def model_and_optimizer(
    parts: Parts, *, channels_last: bool
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return the model on its device and SGD as fast as torch has it."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = parts.model.to(parts.device, memory_format=layout)  # type: ignore[call-overload]
    return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    loss = functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


@torch.no_grad()
def _validate(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    # In parts, as losslab does: a whole part at once does not fit into a CPU's cache.
    pairs = zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True)
    return sum(float((model(x).argmax(1) == y).sum()) for x, y in pairs) / len(labels)


def tensors(parts: Parts, part: str) -> tuple[Tensor, Tensor]:
    """Return a part's images ``(N, H, W, C)``, normalised float32, and labels, on the device."""
    data = parts.dataset
    examples = getattr(data, part)
    loader = BatchLoader(examples, batch_size=1, mean=data.mean, std=data.std, device=parts.device)
    images = torch.cat([batch.images for batch in loader.in_order()])
    return images.permute(0, 2, 3, 1).contiguous(), examples.labels.to(parts.device)
