"""A dry run: every step of a run, once and on a few examples, before its directory is made."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from losslab.data import Dataset, Part
from losslab.data.batches import EVALUATION_BATCH_SIZE
from losslab.diagnostics import DiagnosticRunner, probe_of
from losslab.experiment.arguments import is_number, needed
from losslab.experiment.make import first_words
from losslab.losses import MAP, CrossEntropy, Decomposition
from losslab.metrics import ClassificationSums
from losslab.training import (
    PRECISIONS,
    Evaluation,
    Loop,
    Schedule,
    Stack,
    evaluate,
    forward,
    pack,
    pack_weights,
    unpack,
)
from losslab.training.step import tagged
from losslab.types import Batch, Predictions, Scalars, TrainingEpoch

if TYPE_CHECKING:
    from losslab.experiment.build import Parts

EXAMPLES = 16
"""Of each part, at most."""

# Known to update any dense float32 weights with these arguments.
_KNOWN = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
_KNOWN_ARGUMENTS = {"lr", "momentum", "nesterov", "betas", "eps", "weight_decay", "fused"}


def check_schedule(schedule: Schedule) -> None:
    """Reject a schedule that fails or does not return a number ≥ 0."""
    for progress in (0.0, 0.5):
        needs = needed("schedule").removeprefix("; ")
        with reporting(f"schedule: it fails at progress {progress}", then=needs):
            factor = schedule(progress)
        if not is_number(factor) or not 0 <= factor < math.inf:
            what = f"schedule: it returns {factor!r} at progress {progress}"
            raise ValueError(f"{what}; give a number ≥ 0")


def check_outputs(model: nn.Module, objective: MAP, dataset: Dataset) -> None:
    """Reject a model or loss that fails on a few images or returns a wrong shape.

    Lazy modules get their weights here; nothing else changes.
    """
    # Fewer or more examples than classes, or a wrong axis would go unnoticed.
    count = 3 if dataset.num_classes == 2 else 2
    images, labels = dataset.train.images[:count] / 255, dataset.train.labels[:count]
    was_training = model.training
    model.eval()  # batch normalisation would count these images
    try:
        with torch.no_grad(), reporting(f"model: it fails on images of shape {(*images.shape,)}"):
            logits = model(images)
    finally:
        model.train(was_training)
    _check_logits(logits, labels, dataset)
    # A copy, as a loss may keep state.
    _check_loss(copy.deepcopy(objective), logits.requires_grad_(), labels, model)


def dry_run(parts: "Parts") -> frozenset[str]:
    """Evaluate, train a step, save and run each diagnostic; reject parts that fail.

    Returns the tags that a run may record. If a diagnostic measures nothing on so few examples, its
    tags are unknown, and ``why/<diagnostic>/`` stands for all of them.

    Runs in memory on the CPU, so that the process that starts a sweep needs no GPU. Changes the
    weights of the parts, but not the random state.
    """
    full, data, autocast = parts, parts.dataset, PRECISIONS[parts.trainer.precision]
    few = replace(data, train=_first(data.train), val=_first(data.val), test=_first(data.test))
    parts = replace(parts, dataset=few, device=torch.device("cpu"))
    model, objective = parts.model, parts.objective
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _one_thread():
        parts.move()
        _check_state(parts)
        with reporting("data: it cannot be batched"):
            batch = next(parts.loader("train").epoch(0, 0))
            size = min(parts.trainer.probe_size, EXAMPLES)
            probe = probe_of(parts.loader("train").in_order(), size)
        small = {n: getattr(d, "smallest", lambda d=d: d)() for n, d in parts.diagnostics.items()}
        diagnostic_runner = DiagnosticRunner(small, model=model, objective=objective, probe=probe)

        def validate(part: str) -> Evaluation:
            with reporting("model: it fails in evaluation mode"):
                return evaluate(model, parts.loader(part), autocast=autocast)

        # First, as in a run: state left by evaluation may break training.
        recorded = tagged("val", validate("val").sums)
        before = _unsaved_buffers(model, objective)
        _check_batches_of_one(full, batch, autocast)
        logits, step_scalars = _train(parts, batch, autocast)
        for name, value in _unsaved_buffers(model, objective).items():
            if name in before and not value.equal(before[name]):
                why = "changes in training and is not saved, so a resumed run would differ"
                raise ValueError(f"{name} {why}; register the buffer with persistent=True")
        val, test = validate("val"), validate("test")
        on_val = Predictions(val.logits, val.labels)
        on_test = Predictions(test.logits, test.labels)
        on_train = Predictions(logits, batch.labels)
        recorded |= step_scalars | tagged("train", ClassificationSums.of(*on_train))
        epoch = TrainingEpoch(on_train, batch.labels, batch_size=len(logits), first_step=0)
        tags = {"time/examples_per_s"}.union(
            diagnostic_runner.after_epoch(0, recorded, None, False, on_val).scalars,
            diagnostic_runner.after_epoch(1, recorded, epoch, True, on_val).scalars,
            diagnostic_runner.after_training(recorded, val=on_val, test=on_test).scalars,
        )
        if parts.trainer.engine == "stacked":
            loop = Loop(parts.step(), parts.schedule, parts.trainer, parts.loader("train"), None, 0)
            Stack([loop], size=2)
    if isinstance(objective.likelihood, CrossEntropy):
        tags |= {f"train/{name}" for name in Decomposition._fields}
    for name, diagnostic in parts.diagnostics.items():
        prefix = f"why/{name}/"
        tags |= {prefix + key for key in getattr(diagnostic, "sometimes", ())}
        if not any(tag.startswith(prefix) for tag in tags):
            tags.add(prefix)
    return frozenset(tags.union(recorded, tagged("test", test.sums)))


def _train(parts: "Parts", batch: Batch, autocast: torch.dtype | None) -> tuple[Tensor, Scalars]:
    """Train one step; return its logits and the scalars that a run records."""
    model, objective, dataset = parts.model, parts.objective, parts.dataset
    parameters, loss_parameters = list(model.parameters()), list(objective.parameters())
    model.train()
    with reporting("model: it fails in training mode"):
        logits = forward(model, batch.images, autocast)
    _check_logits(logits, batch.labels, dataset, " in training mode")
    with reporting("loss: it fails"):
        terms = objective.terms(logits, batch.labels, parameters)
    for name, output in {"model": logits, "loss": terms.total}.items():
        _check_leaves(name, output, {*map(id, parameters), *map(id, loss_parameters)})
    with reporting("model: no gradient can be computed"):
        torch.autograd.backward(terms.total)
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = get_total_norm(gradients), get_total_norm([p.detach() for p in parameters])
    factory = parts.make_optimizer
    # The first optimizer in a process imports torch's compiler, which takes seconds.
    if not (
        isinstance(factory, partial)
        and factory.func in _KNOWN
        and factory.keywords.keys() <= _KNOWN_ARGUMENTS
        and all(_is_dense(tensor) for tensor in (*parameters, *loss_parameters, *gradients))
    ):
        with reporting(
            f"optimizer: {getattr(getattr(factory, 'func', factory), '__name__', 'it')} fails",
            then="give one that takes all of the model's parameters and steps without a "
            "closure, e.g. optimizer=sgd",
        ):
            optimizer = parts.step().optimizer
            _ = [group["lr"] for group in optimizer.param_groups]
            optimizer.step()
            optimizer.load_state_dict(unpack(pack(optimizer.state_dict())))
    names = ("train/objective", "train/likelihood", "train/prior", "optim/grad_norm")
    values = (terms.total, terms.likelihood, terms.prior, *norms)
    scalars = {n: v.item() for n, v in zip((*names, "optim/weight_norm"), values, strict=True)}
    return logits.detach(), scalars | {"optim/lr": 0.0}


def _check_batches_of_one(parts: "Parts", batch: Batch, autocast: torch.dtype | None) -> None:
    """Try a batch of one example if a run has one, which batch normalisation rejects."""
    model, settings = parts.model, parts.trainer
    one = Batch(batch.images[:1], batch.labels[:1])
    for name in ("train", "val", "test"):
        count, training = len(getattr(parts.dataset, name).labels), name == "train"
        size = settings.batch_size if training else EVALUATION_BATCH_SIZE
        per_epoch = -(-count // size)
        # A short run may end before the last batch of an epoch.
        if count % size != 1 % size or (
            training and size > 1 and settings.total_steps(per_epoch) < per_epoch
        ):
            continue
        model.train(training)
        last = f"the last of {count} in the {name} part, in batches of {size}"
        keys = "trainer.batch_size or data.train_size" if training else "data.val_size"
        with reporting(f"model: it fails on one example alone, {last}", then=f"change {keys}"):
            logits = forward(model, one.images, autocast)
            _check_logits(logits, one.labels, parts.dataset)
            parts.objective.terms(logits, one.labels, model.parameters())


def _check_state(parts: "Parts") -> None:
    if not any(p.requires_grad for m in (parts.model, parts.objective) for p in m.parameters()):
        raise ValueError("model: none of its parameters requires a gradient, so nothing is trained")
    for name, module in {"model": parts.model, "loss": parts.objective}.items():
        with reporting(f"{name}: its state_dict cannot be saved and loaded"):
            state = module.state_dict()
            pack_weights(state)
            module.load_state_dict(unpack(pack(state)))


def _check_logits(logits: object, labels: Tensor, dataset: Dataset, mode: str = "") -> None:
    expected = (len(labels), dataset.num_classes)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or shape != expected:
        images = f"{len(labels)} images of {dataset.num_classes} classes{mode}"
        raise ValueError(f"model: it returns {shape} for {images}; give logits of shape {expected}")
    if not logits.is_floating_point():
        raise ValueError(f"model: its logits are {logits.dtype}; give floating-point numbers")


def _check_loss(objective: MAP, logits: Tensor, labels: Tensor, model: nn.Module) -> None:
    name = type(objective.likelihood).__name__
    with torch.enable_grad(), reporting(f"loss: {name} fails on logits {(*logits.shape,)}"):
        terms = objective.terms(logits, labels, list(model.parameters()))
    if (shape := tuple(terms.per_example.shape)) != (len(labels),):
        rule = f"give one value per example, {(len(labels),)}"
        raise ValueError(f"loss: {name} returns shape {shape} for {len(labels)} examples; {rule}")
    if not terms.likelihood.requires_grad:
        what = f"loss: {name} has no gradient with respect to the logits"
        raise ValueError(f"{what}; compute it from them with torch's functions")


def _check_leaves(name: str, output: Tensor, parameters: set[int]) -> None:
    """Reject tensors that get gradients but are not parameters, such as layers in a plain list.

    ``parameters`` are the ids of the parameters.
    """
    pending, seen = [output.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        pending += [function for function, _ in node.next_functions]
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in parameters:
            raise ValueError(
                f"{name}: a tensor of shape {tuple(leaf.shape)} requires a gradient but is not "
                f"one of the {name}'s parameters, so it would be neither trained nor saved; make "
                "it an nn.Parameter, or put its layer into an nn.ModuleList"
            )


def _unsaved_buffers(model: nn.Module, objective: MAP) -> dict[str, Tensor]:
    """Return copies of the buffers that are not part of a checkpoint."""
    return {
        f"{owner}: {name}": buffer.clone()
        for owner, module in {"model": model, "loss": objective}.items()
        for name, buffer in module.named_buffers()
        if name not in module.state_dict()
    }


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.dtype is torch.float32


def _first(part: Part) -> Part:
    return Part(*(value[:EXAMPLES] for value in (part.images, part.labels, part.clean_labels)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: starting more takes longer than computing a few examples."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def reporting(what: str, *, then: str = "") -> Iterator[None]:
    """Turn any error of a custom part into a one-line ``ValueError``."""
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = f"{what} ({type(error).__name__}: {first_words(error)})"
        raise ValueError(f"{reason}; {then}" if then else reason) from error
