"""Run losslab's training loop on your own model, loss and tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader, Part
from losslab.losses import MAP, FlatPrior
from losslab.recording import Recorder
from losslab.training.loop import Diagnose, Loop
from losslab.training.schedules import Constant, Schedule
from losslab.training.settings import PRECISIONS, Trainer
from losslab.training.step import TrainingStep

if TYPE_CHECKING:
    import pandas as pd

Examples = tuple[Tensor, Tensor] | BatchLoader
"""Inputs ``(N, ...)`` of the model with labels ``(N,)`` int64, or a loader of batches of them."""


def fit(
    model: nn.Module,
    loss: nn.Module | Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    train: Examples,
    val: Examples | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    schedule: Schedule = Constant(),  # noqa: B008  # immutable
    seed: int = 0,
    precision: str = "float32",
    log_every: int = 50,
    diagnose: Diagnose | None = None,
    recorder: Recorder | None = None,
) -> "pd.DataFrame":
    """Train a model in place, on the device of its parameters, without writing files.

    This is the loop of ``losslab train``: the same batches and updates give the same weights. It
    ends early if the objective becomes infinite or NaN (``history.attrs["diverged"]``).

    Args:
        model: Returns logits ``(N, K)``.
        loss: ``loss(logits, labels)`` returns one value per example, ``(N,)``; their mean is
            minimised. A loss of :mod:`losslab.losses`, a :class:`~losslab.losses.MAP` with a prior,
            a loss of torch with ``reduction="none"``, or a function.
        optimizer: Has the parameters of the model, and those of the loss if there are any. Its
            learning rates are restored afterwards.
        train: Training examples, shuffled each epoch: for example ``dataset.tensors("train")``, or
            a :class:`~losslab.data.BatchLoader` on the model's device, which has its own batch size
            and may augment.
        val: Validation examples, evaluated before the first epoch and after each.
        epochs: Passes over ``train``. Give this or ``steps``.
        steps: Number of updates.
        batch_size: Examples per update.
        schedule: Maps progress in [0, 1) to a factor on the learning rates, such as
            :class:`~losslab.training.Cosine`.
        seed: For the order of the examples and the random numbers of the model.
        precision: ``float32``, or ``bfloat16`` for the forward pass (autocast).
        log_every: Updates between two records of the objective and the norms.
        diagnose: Called before the first epoch and after each, such as
            ``losslab.diagnostics.DiagnosticRunner(...).after_epoch``.
        recorder: Also writes the history to a run directory.

    Returns:
        A row per record, with ``step``, ``examples``, ``epoch`` and tags such as
        ``train/objective``, ``val/accuracy`` and ``optim/lr``, NaN if not recorded at that step.

    Raises:
        ValueError: A value is out of range, or the loss does not return one value per example.

    >>> from losslab.data import load
    >>> data = load("synthetic")
    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(0)
    ...     model = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    >>> def squared_error(logits, labels):
    ...     return (logits - nn.functional.one_hot(labels, 4)).square().sum(dim=1)
    >>> optimizer, val = torch.optim.SGD(model.parameters(), lr=0.01), data.tensors("val")
    >>> history = fit(
    ...     model, squared_error, optimizer, train=data.tensors("train"), val=val, epochs=2
    ... )
    >>> bool(history["val/accuracy"].max() > 0.9)
    True
    """
    import pandas as pd

    if precision == "tf32":
        raise ValueError(
            "precision=tf32 is a global setting of torch; set torch.backends.cudnn.allow_tf32 "
            "and torch.backends.cuda.matmul.allow_tf32, and leave precision=float32"
        )
    settings = Trainer(
        batch_size=train.batch_size if isinstance(train, BatchLoader) else batch_size,
        epochs=epochs,
        steps=steps,
        precision=precision,
        log_every=log_every,
    )
    parameters = list(model.parameters())
    device = parameters[0].device
    train = _loader(train, batch_size, device)
    if not isinstance(loss, MAP):
        loss = MAP(loss, FlatPrior(), num_train=train.num_examples)  # type: ignore[arg-type]
    loop = Loop(
        step=TrainingStep(model, loss.to(device), optimizer, parameters, PRECISIONS[precision]),
        schedule=schedule,
        settings=settings,
        train=train,
        val=None if val is None else _loader(val, batch_size, device),
        seed=seed,
        recorder=recorder,
        diagnose=diagnose,
    )
    was_training = model.training
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            loop.run()
    finally:
        model.train(was_training)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
    history = pd.DataFrame(loop.history)
    history.attrs["diverged"] = loop.diverged
    return history


def _loader(examples: Examples, batch_size: int, device: torch.device) -> BatchLoader:
    if isinstance(examples, BatchLoader):
        return examples
    inputs, labels = examples
    if len(inputs) != len(labels) or labels.dtype != torch.int64 or labels.ndim != 1:
        raise ValueError(
            f"{len(inputs)} inputs with labels of {labels.dtype} and shape {tuple(labels.shape)}; "
            "give one torch.int64 label per input"
        )
    return BatchLoader(Part(inputs, labels, labels), batch_size=batch_size, device=device)
