"""Run losslab's training loop on your own model, loss and tensors."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader, Part
from losslab.losses import MAP, FlatPrior
from losslab.recording import Recorder
from losslab.training.loop import Diagnose, Loop
from losslab.training.schedules import Constant, Schedule
from losslab.training.settings import PRECISIONS, Trainer
from losslab.training.step import TrainingStep
from losslab.types import plain

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
    ends early if the objective becomes infinite or NaN (``history.attrs["diverged"]``). After an
    interrupt the model has what it learned so far, but the history is lost without a ``recorder``.
    Models with dropout do not repeat to the bit if other threads use torch's random numbers.

    Args:
        model: Returns logits ``(N, K)``.
        loss: ``loss(logits, labels)`` returns one value per example, ``(N,)``; their mean is
            minimised. A loss of :mod:`losslab.losses`, a :class:`~losslab.losses.MAP` with a prior,
            a loss of torch with ``reduction="none"``, or a function.
        optimizer: Has the parameters of the model, and those of the loss if there are any. Its
            learning rates are restored afterwards. It must not need a closure, as LBFGS does, nor
            decay weights that have a prior.
        train: Training examples, shuffled each epoch: for example ``dataset.tensors("train")``, or
            ``torch.utils.data.default_collate([*dataset])`` of torch's datasets, or a
            :class:`~losslab.data.BatchLoader` on the model's device, which has its own batch size
            and may augment.
        val: Validation examples, evaluated before the first epoch and after each.
        epochs: Passes over ``train``. Give this or ``steps``, not both.
        steps: Number of updates.
        batch_size: Examples per update.
        schedule: Maps progress in [0, 1) to a factor on the learning rates, such as
            :class:`~losslab.training.Cosine`.
        seed: ≥ 0, for the order of the examples and the random numbers of the model.
        precision: ``float32``, or ``bfloat16`` for the forward pass (autocast).
        log_every: Updates between two records of the objective and the norms.
        diagnose: Called before the first epoch and after each with the arguments of
            ``losslab.training.loop.Diagnose``; may return a ``losslab.types.Finding`` to record,
            as ``losslab.diagnostics.DiagnosticRunner(...).after_epoch`` does.
        recorder: Also writes the history to a run directory, such as
            ``losslab.recording.Recorder(losslab.Run.at("outputs/mine/cubed_error/seed=0"))``, to be
            closed afterwards.

    Returns:
        A row per record, with ``step``, ``examples``, ``epoch`` and tags such as
        ``train/objective``, ``val/accuracy`` and ``optim/lr``, NaN if not recorded at that step.

    Raises:
        ValueError: A value is out of range or of the wrong type, a part is empty, a label has no
            output in the model, the optimizer has none of the model's parameters or decays weights
            that have a prior, or the loss does not return one value per example.

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
    epochs, steps, batch_size, seed, log_every = map(
        plain, (epochs, steps, batch_size, seed, log_every)
    )
    if (epochs is None) == (steps is None):
        raise ValueError(f"epochs={epochs} and steps={steps}; give exactly one of them")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}; give a whole number ≥ 0, below 2**63")
    _check_kinds(model, optimizer, schedule)
    try:
        settings = Trainer(
            batch_size=train.batch_size if isinstance(train, BatchLoader) else batch_size,
            epochs=epochs,
            steps=steps,
            precision=precision,
            log_every=log_every,
        )
    except ValueError as error:  # which names them as in a configuration
        raise ValueError(str(error).replace("trainer.", "")) from None
    parameters = list(model.parameters())
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters; give a model to train")
    device = parameters[0].device
    train = _loader("train", train, batch_size, device)
    val = None if val is None else _loader("val", val, batch_size, device)
    if not isinstance(loss, MAP):
        loss = MAP(loss, FlatPrior(), num_train=train.num_examples)  # type: ignore[arg-type]
    _check_optimizer(optimizer, [*parameters, *loss.parameters()])
    if not isinstance(loss.prior, FlatPrior):
        _check_decay(optimizer, parameters)
    outputs = _count_outputs(model, train, PRECISIONS[precision])
    _check_labels("train", train, outputs)
    if val is not None:
        _check_labels("val", val, outputs)
    loop = Loop(
        step=TrainingStep(model, loss.to(device), optimizer, parameters, PRECISIONS[precision]),
        schedule=schedule,
        settings=settings,
        train=train,
        val=val,
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


def _loader(name: str, examples: Any, batch_size: int, device: torch.device) -> BatchLoader:
    """Return :data:`Examples` as a loader; ``ValueError`` if they are something else."""
    if isinstance(examples, BatchLoader):
        loader = examples
    else:
        if not isinstance(examples, tuple | list) or len(examples) != 2:
            raise ValueError(
                f"{name} is a {type(examples).__name__}; give inputs and labels as two tensors: "
                "dataset.tensors(...), or default_collate([*dataset]) of torch.utils.data for "
                "torch's datasets; or a losslab.data.BatchLoader"
            )
        inputs, labels = examples
        if not all(isinstance(each, Tensor) for each in (inputs, labels)):
            raise ValueError(
                f"{name} is a {type(inputs).__name__} and a {type(labels).__name__}; give two "
                "torch tensors, inputs and labels: use torch.as_tensor()"
            )
        if len(inputs) != len(labels) or labels.dtype != torch.int64 or labels.ndim != 1:
            raise ValueError(
                f"{name} has {len(inputs)} inputs with labels of {labels.dtype} and shape "
                f"{tuple(labels.shape)}; give one torch.int64 label per input"
            )
        part = Part(inputs, labels, labels)
        loader = BatchLoader(part, batch_size=batch_size, device=device)
    if loader.num_examples == 0:
        advice = "give at least one" + (", or leave val out" if name == "val" else "")
        raise ValueError(f"{name} has no examples; {advice}")
    return loader


def _check_kinds(model: Any, optimizer: Any, schedule: Any) -> None:
    """Raise ``ValueError`` for what is often given in place of a model, optimizer or schedule."""
    for name, value, fits, rule in (
        ("model", model, isinstance(model, nn.Module), "a torch.nn.Module"),
        ("optimizer", optimizer, hasattr(optimizer, "param_groups"), "an optimizer of torch"),
        ("schedule", schedule, callable(schedule), "a function such as losslab.training.Cosine()"),
    ):
        if isinstance(value, type):
            raise ValueError(f"{name} is the class {value.__name__}; give {rule}: construct it")
        if not fits:
            raise ValueError(f"{name} is a {type(value).__name__}; give {rule}")


def _check_decay(optimizer: torch.optim.Optimizer, weights: Iterable[Tensor]) -> None:
    """Raise ``ValueError`` if the optimizer decays weights that have a prior."""
    own = {id(weight) for weight in weights}
    for group in optimizer.param_groups:
        decay = group.get("weight_decay", 0)
        if decay and any(id(p) in own for p in group["params"]):
            raise ValueError(
                f"the loss has a prior, and the optimizer weight_decay={decay}: the weights would "
                "be penalised twice; set weight_decay=0 or give a loss without a prior"
            )


def _check_optimizer(optimizer: torch.optim.Optimizer, own: Iterable[Tensor]) -> None:
    """Raise ``ValueError`` unless the optimizer has a parameter that training can change."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in trained and p.requires_grad for p in own):
        raise ValueError(
            "the optimizer has no parameter of this model that requires a gradient; construct it "
            "with model.parameters()"
        )


def _count_outputs(model: nn.Module, train: BatchLoader, autocast: torch.dtype | None) -> int:
    """Return K, from the outputs for one batch; leave the model and random numbers as they are."""
    was_training, devices = model.training, [train.device] if train.device.type == "cuda" else []
    images = next(train.in_order(train.batch_size)).images
    casting = torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices), casting:
            outputs: Any = model.eval()(images)
    finally:
        model.train(was_training)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"the model returns a {type(outputs).__name__}; give logits (N, K)")
    if outputs.ndim != 2:
        shape = tuple(outputs.shape)
        raise ValueError(f"the model returns outputs of shape {shape}; give logits (N, K)")
    return outputs.shape[1]


def _check_labels(name: str, loader: BatchLoader, outputs: int) -> None:
    """Raise ``ValueError`` for a label without an output; waits for the device once."""
    labels = loader.part.labels
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= outputs:
        raise ValueError(
            f"{name} has labels in {low}…{high}; allowed are 0…{outputs - 1} for a model with "
            f"{outputs} outputs: correct the labels or give the model one output per class"
        )
