"""Train many runs as one program: one sequence of operations updates all of them."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from losslab.losses import FlatPrior, Loss, Terms
from losslab.metrics import ClassificationSums
from losslab.training.capture import Step, capture
from losslab.training.loop import Loop
from losslab.training.row_optimizers import row_optimizer
from losslab.training.step import Evaluation, decomposition, step_numbers
from losslab.types import Batch, Scalars

_EVALUATION_BATCH = 16_000  # examples, over all lanes


class _Update(NamedTuple):
    """The results of one update of R lanes, with batches of B examples."""

    labels: Tensor  # (R, B)
    logits: Tensor  # (R, B, K)
    per_example: Tensor  # (R, B)
    likelihood: Tensor  # (R,)
    prior: Tensor  # (R,)
    gradient: Tensor  # (R, P)


class Stack:
    """Train runs together, each in its own lane.

    Every run keeps its loss and prior, optimizer settings, schedule, seed, initial weights, order
    of examples, augmentation and labels. Its weights equal those of :meth:`Loop.run` up to
    rounding. They do not depend on the other runs: all stacks of one size use the same operations,
    and empty lanes are filled with copies of a run.

    The parameters and buffers of the models and the states of the optimizers become views of the
    stack, so that evaluation, diagnostics and checkpoints work as for a single run.

    The weights of a run are a row of one matrix, so that the optimizer needs only a few operations.
    ``torch.func.vmap`` runs any network. On a GPU it was at most a tenth slower than grouped
    convolutions and batched products over unfolded images, both written by hand.

    Args:
        loops: Loops that have not been started, with the same model shapes and numbers of training
            examples.
        size: Number of lanes, at least one per loop.

    Raises:
        ValueError: The runs cannot be stacked. Nothing has been changed.
    """

    def __init__(self, loops: Sequence[Loop], *, size: int) -> None:
        _check_stackable(loops)
        loaders = {id(loop.train): number for number, loop in enumerate(loops)}
        # Runs with the same loss or data are neighbours, so that they are computed together.
        self.loops = sorted(loops, key=lambda loop: (_loss_key(loop), loaders[id(loop.train)]))
        self._lanes = lanes = [*self.loops, *[self.loops[-1]] * (size - len(loops))]
        self._by_loss = _neighbours(lanes, key=_loss_key)
        self._by_data = _neighbours(lanes, key=lambda lane: id(lane.train))
        models = [loop.step.model for loop in lanes]
        self._network = copy.deepcopy(models[0])
        self._forward = partial(functional_call, self._network)
        self._shapes = {name: p.shape for name, p in models[0].named_parameters()}
        self._weights = torch.stack([_weight_vector(model) for model in models])
        states = [dict(model.named_buffers()) for model in models]
        self._buffers = {name: torch.stack([s[name] for s in states]) for name in states[0]}
        self._try_network()
        optimizers = [loop.step.optimizer for loop in lanes]
        self._optimizer = row_optimizer(optimizers, self._weights, num_runs=len(loops))
        for lane in range(len(loops)):
            self._set_tensors(lane, {name: v[lane] for name, v in self._named().items()})
        self._weights.requires_grad_()

    def run(self) -> None:
        """Train all runs to the end."""
        # Not an attribute: in a reference cycle, graph and memory would outlive the stack.
        update = capture(self._update, keep=self._state())
        for loop, validation in zip(self.loops, self._validations(), strict=True):
            with errors_recorded(loop):
                loop.start(validation)
        while pending := [lane for lane, loop in enumerate(self.loops) if not loop.ended]:
            # Runs that resume may be at different steps.
            steps_left = {lane: self.loops[lane].steps_left_in_epoch for lane in pending}
            steps = max(steps_left.values())
            active = [lane for lane in pending if steps_left[lane] == steps]
            waiting = [lane for lane in pending if steps_left[lane] < steps]
            saved = [(tensor, tensor[waiting].clone()) for tensor in self._state()]
            self._train_epoch(update, active, steps)
            with torch.no_grad():
                for tensor, rows in saved:
                    tensor[waiting] = rows

    def _train_epoch(self, update: Step, active: Sequence[int], steps: int) -> None:
        """Train some lanes for an epoch; the others compute values that are not used."""
        started, logits, labels = time.perf_counter(), [], []
        order, draws = self._examples()
        rates = [
            [lane.rates(ahead=step)[0] if not lane.ended else 0.0 for lane in self._lanes]
            for step in range(steps)
        ]
        numbers = self._optimizer.numbers(torch.tensor(rates, dtype=torch.float64))
        numbers = numbers.to(self._weights)
        size = self._lanes[0].train.batch_size
        running = list(active)
        for step in range(steps):
            batch = slice(step * size, (step + 1) * size)
            draw = None if draws is None else draws[:, :, batch]
            result = _Update(*update(order[:, batch], draw, numbers[step]))
            logits.append(result.logits.clone())
            labels.append(result.labels.clone())
            for lane in running:
                self.loops[lane].steps_done += 1
            due = [lane for lane in running if self.loops[lane].is_due]
            scalars = self._step_scalars(result) if due else []
            for lane in due:
                loop = self.loops[lane]
                with errors_recorded(loop):
                    loop.check_step(scalars[lane])
                if loop.diverged:
                    self._release(lane)
                if loop.diverged or loop.error:
                    running.remove(lane)
        self._optimizer.count(running, steps)
        trained = _of_lanes(torch.cat(logits, dim=1), torch.cat(labels, dim=1))
        validations, seconds = self._validations(), time.perf_counter() - started
        for lane in active:
            loop = self.loops[lane]
            if loop.error is None:
                with errors_recorded(loop):
                    loop.end_epoch(trained[lane], seconds=seconds, validation=validations[lane])
            if loop.ended and not loop.diverged:  # a diverged run already has its weights
                self._release(lane)

    def _examples(self) -> tuple[Tensor, Tensor | None]:
        """Return the order ``(R, N)`` and draws ``(3, R, N)`` for the next epoch of each lane."""
        orders = [lane.train.order(lane.seed, lane.epoch) for lane in self._lanes]
        draws = [lane.train.draws(lane.seed, lane.epoch) for lane in self._lanes]
        present = [draw for draw in draws if draw is not None]
        return torch.stack(orders), torch.stack(present, dim=1) if present else None

    def _update(self, order: Tensor, draw: Tensor | None, numbers: Tensor) -> _Update:
        """Update all lanes once, with the examples ``order``, ``(R, B)``."""
        images, labels = self._gather(order, draw)
        logits = vmap(self._forward)((self._parameters(), self._buffers), images)
        losses = []
        for lanes, loop in self._by_loss:
            objective = loop.step.objective
            if getattr(objective.likelihood, "batch_dependent", False):  # one batch per lane
                losses.append(vmap(objective.per_example)(logits[lanes], labels[lanes]))
            else:
                flat = logits[lanes].flatten(0, 1), labels[lanes].flatten()
                losses.append(objective.per_example(*flat).view_as(labels[lanes]))
        per_example = torch.cat(losses)
        likelihood, prior = per_example.mean(1), self._penalties()
        (gradient,) = torch.autograd.grad((likelihood + prior).sum(), self._weights)
        with torch.no_grad():
            self._optimizer.update(self._weights, gradient, numbers)
        results = (labels, logits, per_example, likelihood, prior, gradient)
        return _Update(*(values.detach() for values in results))

    def _gather(self, order: Tensor, draw: Tensor | None) -> Batch:
        parts = [
            loop.train.select(
                order[lanes].flatten(), None if draw is None else draw[:, lanes].flatten(1)
            )
            for lanes, loop in self._by_data
        ]
        images, labels = map(torch.cat, zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        return Batch(images.view(*order.shape, *images.shape[1:]), labels.view(order.shape))

    def _penalties(self) -> Tensor:
        """Return the prior term of each lane, ``(R,)``."""
        zero = self._weights.new_zeros(())
        terms = []
        for lane, loop in enumerate(self._lanes):
            objective = loop.step.objective
            if isinstance(objective.prior, FlatPrior):
                terms.append(zero)
            else:
                parameters = self._parameters(lane).values()
                terms.append(objective.prior(parameters) / objective.num_train)
        return torch.stack(terms)

    def _parameters(self, lane: int | None = None) -> dict[str, Tensor]:
        """Return the weights by name: ``(R, ...)``, or ``(...)`` for one lane."""
        rows = self._weights if lane is None else self._weights[lane]
        sizes = [shape.numel() for shape in self._shapes.values()]
        columns = zip(self._shapes.items(), torch.split(rows, sizes, dim=-1), strict=True)
        return {name: column.view(*rows.shape[:-1], *shape) for (name, shape), column in columns}

    def _named(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return self._parameters() | self._buffers

    def _state(self) -> list[Tensor]:
        """Return all tensors that updates change, with one row per lane."""
        return [self._weights, *self._buffers.values(), *self._optimizer.state.values()]

    def _set_tensors(self, lane: int, values: dict[str, Tensor]) -> None:
        """Replace the tensors of a run's model."""
        model = self.loops[lane].step.model
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            tensor.data = values[name].detach()

    def _release(self, lane: int) -> None:
        """Give an ended run its own copy of the weights, as its lane continues to compute."""
        self._set_tensors(lane, {name: v[lane].clone() for name, v in self._named().items()})

    @torch.no_grad()
    def _step_scalars(self, result: _Update) -> list[Scalars]:
        """Return the numbers to record of each lane's update, with one copy for each loss."""
        total = result.likelihood + result.prior
        terms = Terms(result.per_example, result.likelihood, result.prior, total)
        norms = (torch.linalg.vector_norm(rows, dim=1) for rows in (result.gradient, self._weights))
        numbers = step_numbers(terms, *norms)
        scalars = _by_lane(numbers)
        for lanes, loop in self._by_loss:
            flat = result.logits[lanes].flatten(0, 1), result.labels[lanes].flatten()
            parts = decomposition(loop.step.objective.likelihood, *flat)
            means = {tag: part.view_as(result.labels[lanes]).mean(1) for tag, part in parts.items()}
            if means:
                both = zip(scalars[lanes], _by_lane(means), strict=True)
                scalars[lanes] = [common | own for common, own in both]
        return scalars

    @torch.no_grad()
    def _validations(self) -> Sequence[Evaluation | None]:
        """Evaluate all lanes together, if they have the same validation part."""
        loader = self.loops[0].val
        if loader is None or any(loop.val is not loader for loop in self.loops):
            return [None] * len(self.loops)  # each run evaluates itself
        self._network.eval()
        network, logits, labels = vmap(self._forward, in_dims=(0, None)), [], []
        for batch in loader.in_order(max(1, _EVALUATION_BATCH // len(self._lanes))):
            logits.append(network((self._parameters(), self._buffers), batch.images))
            labels.append(batch.labels)
        self._network.train()
        all_logits = torch.cat(logits, dim=1)[: len(self.loops)]
        return _of_lanes(all_logits, torch.cat(labels).expand(all_logits.shape[:2]))

    def _try_network(self) -> None:
        """Raise ``ValueError`` unless the network works under ``vmap``."""
        self._network.train()
        order, draws = self._examples()
        images, _ = self._gather(order[:, :2], None if draws is None else draws[:, :, :2])
        buffers = {name: values.clone() for name, values in self._buffers.items()}
        try:
            with torch.no_grad():
                vmap(self._forward)((self._parameters(), buffers), images)
        except Exception as error:  # a custom model may raise anything
            reason = " ".join(str(error).split())
            raise ValueError(
                f"model {type(self._network).__name__} cannot be stacked ({reason}); give "
                "trainer.engine=eager"
            ) from error


@contextmanager
def errors_recorded(loop: Loop) -> Iterator[None]:
    """Record an error, such as a full disk, so that it ends only this run."""
    try:
        yield
    except Exception as error:
        loop.error = error


def _by_lane(numbers: Mapping[str, Tensor]) -> list[Scalars]:
    """Return the numbers ``(R,)`` of each lane by name, with one copy from the device."""
    rows = torch.stack(list(numbers.values()), dim=1).tolist()
    return [dict(zip(numbers, row, strict=True)) for row in rows]


def _of_lanes(logits: Tensor, labels: Tensor) -> list[Evaluation]:
    """Return the evaluation of each lane from logits ``(R, N, K)`` and labels ``(R, N)``."""
    sums = ClassificationSums.of(logits, labels).each()
    return list(map(Evaluation, sums, logits, labels))


def _neighbours(
    lanes: Sequence[Loop], *, key: Callable[[Loop], object]
) -> list[tuple[slice, Loop]]:
    """Return the slices of successive lanes with an equal key, each with its first lane."""
    slices, start = [], 0
    for _, group in groupby(lanes, key=key):
        first, *others = group
        slices.append((slice(start, start := start + 1 + len(others)), first))
    return slices


def _weight_vector(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _loss_key(loop: Loop) -> str:
    """Return the same key for likelihoods that compute the same loss."""
    likelihood = loop.step.objective.likelihood
    kind = type(likelihood)
    if not isinstance(likelihood, Loss) or not kind.__module__.startswith("losslab.losses."):
        return f"{kind.__qualname__} {id(likelihood)}"
    settings = {k: v for k, v in vars(likelihood).items() if not k.startswith("_")}
    return f"{kind.__qualname__} {sorted(settings.items())}"


def _check_stackable(loops: Sequence[Loop]) -> None:
    """Raise ``ValueError`` unless the runs can be stacked."""

    def shapes(values: Iterable[tuple[str, Tensor]]) -> list[tuple[str, torch.Size]]:
        return [(name, value.shape) for name, value in values]

    first = loops[0]
    for loop in loops:
        model = loop.step.model
        parameters = list(model.parameters())
        same_shapes = (
            type(model) is type(first.step.model)
            and shapes(model.named_parameters()) == shapes(first.step.model.named_parameters())
            and shapes(model.named_buffers()) == shapes(first.step.model.named_buffers())
            and len({(p.dtype, p.device) for p in [*parameters, *first.step.parameters]}) == 1
        )
        requirements = {
            "models of different architecture": same_shapes,
            "training parts of different size": (
                (loop.train.num_examples, loop.train.batch_size)
                == (first.train.num_examples, first.train.batch_size)
            ),
            "frozen parameters": all(p.requires_grad for p in parameters),
            "a loss with parameters": not list(loop.step.objective.parameters()),
            # Autocast has no effect under vmap (torch 2.15): the stack would train in float32.
            "precision bfloat16": loop.step.autocast is None,
        }
        for obstacle, is_absent in requirements.items():
            if not is_absent:
                raise ValueError(f"a stack cannot have {obstacle}; give trainer.engine=eager")
