"""Many runs as one program: an update of all of them is one sequence of operations."""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from losslab.losses import FlatPrior, Loss, Terms
from losslab.metrics import ClassificationSums
from losslab.training.capture import capture
from losslab.training.loop import Loop
from losslab.training.row_optimizers import row_optimizer
from losslab.training.step import Evaluation
from losslab.types import Batch

_EVALUATED_AT_ONCE = 16_000


class _Update(NamedTuple):
    """What one update of R lanes leaves, of batches of B examples."""

    images: Tensor  # (R, B, C, H, W)
    labels: Tensor  # (R, B)
    logits: Tensor  # (R, B, K)
    per_example: Tensor  # (R, B)
    likelihood: Tensor  # (R,)
    prior: Tensor  # (R,)
    gradient: Tensor  # (R, P)


class Stack:
    """Train runs together, each in a lane of its own.

    Every run keeps its loss and prior, optimizer settings, schedule, seed, initial weights, order
    of examples, augmentation and labels. Its weights agree with those of :meth:`Loop.run` to
    rounding. They do not depend on the other runs: the operations are the same for all stacks of
    one size, so empty lanes are filled with copies of a run.

    The models' parameters and buffers and the optimizers' states become views of the stack, so
    that the evaluation, diagnostics and checkpoints of a run work as ever.

    The weights of a run are a row of one matrix: an optimizer takes a few operations, whatever the
    network. ``torch.func.vmap`` runs the network, of any kind; on a GPU it was within a tenth of
    grouped convolutions and of batched products over unfolded images, both written by hand.

    Args:
        loops: Not started; alike in the shapes of the model and the number of training examples.
        size: Lanes, at least one a loop.

    Raises:
        ValueError: The runs cannot be stacked; nothing has been changed.
    """

    def __init__(self, loops: Sequence[Loop], *, size: int) -> None:
        _check(loops)
        loaders = {id(loop.train): number for number, loop in enumerate(loops)}
        # Runs of one loss, and of one data set, lie side by side to be computed together.
        self.loops = sorted(loops, key=lambda loop: (_loss(loop), loaders[id(loop.train)]))
        self._lanes = lanes = [*self.loops, *[self.loops[-1]] * (size - len(loops))]
        self._losses = [list(same) for _, same in groupby(lanes, key=_loss)]
        self._sources = [list(same) for _, same in groupby(lanes, key=lambda e: id(e.train))]
        models = [loop.step.model for loop in lanes]
        self._network = copy.deepcopy(models[0])
        self._shapes = {name: p.shape for name, p in models[0].named_parameters()}
        self._weights = torch.stack([_row(model) for model in models])
        states = [dict(model.named_buffers()) for model in models]
        self._buffers = {name: torch.stack([s[name] for s in states]) for name in states[0]}
        self._try_network()
        optimizers = [loop.step.optimizer for loop in lanes]
        self._optimizer = row_optimizer(optimizers, self._weights, own=len(loops))
        for lane in range(len(loops)):
            self._place(lane, {name: values[lane] for name, values in self._named().items()})
        self._weights.requires_grad_()
        self._updates = capture(self._update, keep=self._state())

    def run(self) -> None:
        """Train all runs to their ends."""
        for loop, validation in zip(self.loops, self._validations(), strict=True):
            with errors_kept(loop):
                loop.start(validation)
        while pending := [lane for lane, loop in enumerate(self.loops) if not loop.ended]:
            # Runs that resume may be at different places.
            left = {lane: self.loops[lane].steps_left_in_epoch for lane in pending}
            steps = max(left.values())
            active = [lane for lane in pending if left[lane] == steps]
            waiting = [lane for lane in pending if left[lane] < steps]
            kept = [(values, values[waiting].clone()) for values in self._state()]
            self._train_epoch(active, steps)
            with torch.no_grad():
                for values, before in kept:
                    values[waiting] = before

    def _train_epoch(self, active: Sequence[int], steps: int) -> None:
        """Train an epoch of some lanes; the others compute along."""
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
            done = _Update(*self._updates(order[:, batch], draw, numbers[step]))
            logits.append(done.logits.clone())
            labels.append(done.labels.clone())
            for lane in running:
                self.loops[lane].steps_done += 1
            for lane in [lane for lane in running if self.loops[lane].is_due]:
                with errors_kept(self.loops[lane]):
                    self._look(lane, done)
                if self.loops[lane].diverged or self.loops[lane].error:
                    running.remove(lane)
        self._optimizer.count(running, steps)
        trained = _of_lanes(torch.cat(logits, dim=1), torch.cat(labels, dim=1))
        validations, seconds = self._validations(), time.perf_counter() - started
        for lane in active:
            loop = self.loops[lane]
            if loop.error is None:
                with errors_kept(loop):
                    loop.end_epoch(trained[lane], seconds=seconds, validation=validations[lane])
            if loop.ended and not loop.diverged:  # that has its weights already
                self._release(lane)

    def _examples(self) -> tuple[Tensor, Tensor | None]:
        """Return the order ``(R, N)`` and draws ``(3, R, N)`` of each lane's next epoch."""
        orders = [lane.train.order(lane.seed, lane.epoch) for lane in self._lanes]
        draws = [lane.train.draws(lane.seed, lane.epoch) for lane in self._lanes]
        found = [draw for draw in draws if draw is not None]
        return torch.stack(orders), torch.stack(found, dim=1) if found else None

    def _update(self, order: Tensor, draw: Tensor | None, numbers: Tensor) -> _Update:
        """Update all lanes once, each with its examples ``(R, B)``."""
        images, labels = self._gather(order, draw)
        logits = vmap(self._forward)(self._parameters(), self._buffers, images)
        values, first = [], 0
        for same in self._losses:
            lanes = slice(first, first := first + len(same))
            objective = same[0].step.objective
            if getattr(objective.likelihood, "batch_dependent", False):  # a batch each
                values.append(vmap(objective.per_example)(logits[lanes], labels[lanes]))
                continue
            flat = logits[lanes].flatten(0, 1), labels[lanes].flatten()
            values.append(objective.per_example(*flat).view(len(same), -1))
        per_example = torch.cat(values)
        likelihood, prior = per_example.mean(1), self._penalties()
        (gradient,) = torch.autograd.grad((likelihood + prior).sum(), self._weights)
        with torch.no_grad():
            self._optimizer.update(self._weights, gradient, numbers)
        found = (images, labels, logits, per_example, likelihood, prior, gradient)
        return _Update(*(values.detach() for values in found))

    def _gather(self, order: Tensor, draw: Tensor | None) -> Batch:
        parts, first = [], 0
        for same in self._sources:
            lanes = slice(first, first := first + len(same))
            its_draw = None if draw is None else draw[:, lanes].flatten(1)
            parts.append(same[0].train.select(order[lanes].flatten(), its_draw))
        images, labels = map(torch.cat, zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        return Batch(images.view(*order.shape, *images.shape[1:]), labels.view(order.shape))

    def _penalties(self) -> Tensor:
        """Return the priors' terms, ``(R,)``."""
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

    def _forward(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor
    ) -> Tensor:
        logits: Tensor = functional_call(self._network, (parameters, buffers), (images,))
        return logits

    def _parameters(self, lane: int | None = None) -> dict[str, Tensor]:
        """Return the weights by name: ``(R, ...)``, or ``(...)`` of one lane."""
        rows = self._weights if lane is None else self._weights[lane]
        sizes = [shape.numel() for shape in self._shapes.values()]
        columns = zip(self._shapes.items(), torch.split(rows, sizes, dim=-1), strict=True)
        return {name: column.view(*rows.shape[:-1], *shape) for (name, shape), column in columns}

    def _named(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return self._parameters() | self._buffers

    def _state(self) -> list[Tensor]:
        """Return all that updates change, a row a lane."""
        return [self._weights, *self._buffers.values(), *self._optimizer.state.values()]

    def _place(self, lane: int, values: dict[str, Tensor]) -> None:
        """Let a run's model hold some tensors."""
        model = self.loops[lane].step.model
        for name, held in (*model.named_parameters(), *model.named_buffers()):
            held.data = values[name].detach()

    def _release(self, lane: int) -> None:
        """Let a run that has ended keep its weights, whatever its lane computes from now on."""
        self._place(lane, {name: values[lane].clone() for name, values in self._named().items()})

    def _look(self, lane: int, done: _Update) -> None:
        """Let a run look at its step."""
        loop = self.loops[lane]
        terms = Terms(
            done.per_example[lane],
            done.likelihood[lane],
            done.prior[lane],
            done.likelihood[lane] + done.prior[lane],
        )
        start = 0
        for p in loop.step.parameters:
            p.grad = done.gradient[lane, start : (start := start + p.numel())].view(p.shape)
        loop.step.optimizer.param_groups[0]["lr"] = loop.rates(ahead=-1)[0]
        loop.look(Batch(done.images[lane], done.labels[lane]), done.logits[lane], terms)
        loop.step.optimizer.zero_grad(set_to_none=True)
        if loop.diverged:
            self._release(lane)

    @torch.no_grad()
    def _validations(self) -> Sequence[Evaluation | None]:
        """Evaluate all lanes, if they have the same validation part."""
        loader = self.loops[0].val
        if loader is None or any(loop.val is not loader for loop in self.loops):
            return [None] * len(self.loops)  # each evaluates itself
        self._network.eval()
        network, logits, labels = vmap(self._forward, in_dims=(0, 0, None)), [], []
        for batch in loader.in_order(max(1, _EVALUATED_AT_ONCE // len(self._lanes))):
            logits.append(network(self._parameters(), self._buffers, batch.images))
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
                vmap(self._forward)(self._parameters(), buffers, images)
        except Exception as error:  # whatever a custom model does
            reason = " ".join(str(error).split())
            raise ValueError(
                f"model {type(self._network).__name__} cannot be stacked ({reason}); give "
                "trainer.engine=eager"
            ) from error


@contextmanager
def errors_kept(loop: Loop) -> Iterator[None]:
    """Let an error, such as that of a full disk, end this run alone."""
    try:
        yield
    except Exception as error:
        loop.error = error


def _of_lanes(logits: Tensor, labels: Tensor) -> list[Evaluation]:
    """Return the evaluation of each lane, from ``(R, N, K)`` and ``(R, N)``."""
    each = ClassificationSums.of(logits, labels).each()
    return list(map(Evaluation, each, logits, labels))


def _row(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _loss(loop: Loop) -> str:
    """Return text that is equal for likelihoods that compute the same."""
    likelihood = loop.step.objective.likelihood
    kind = type(likelihood)
    if not isinstance(likelihood, Loss) or not kind.__module__.startswith("losslab.losses."):
        return f"{kind.__qualname__} {id(likelihood)}"
    settings = {k: v for k, v in vars(likelihood).items() if not k.startswith("_")}
    return f"{kind.__qualname__} {sorted(settings.items())}"


def _check(loops: Sequence[Loop]) -> None:
    """Raise ``ValueError`` unless loops can be stacked."""

    def shapes(values: Iterable[tuple[str, Tensor]]) -> list[tuple[str, torch.Size]]:
        return [(name, value.shape) for name, value in values]

    first = loops[0]
    for loop in loops:
        model = loop.step.model
        parameters = list(model.parameters())
        same = (
            type(model) is type(first.step.model)
            and shapes(model.named_parameters()) == shapes(first.step.model.named_parameters())
            and shapes(model.named_buffers()) == shapes(first.step.model.named_buffers())
            and len({(p.dtype, p.device) for p in [*parameters, *first.step.parameters]}) == 1
        )
        fits = {
            "models of different architecture": same,
            "training parts of different size": (
                (loop.train.num_examples, loop.train.batch_size)
                == (first.train.num_examples, first.train.batch_size)
            ),
            "frozen parameters": all(p.requires_grad for p in parameters),
            "a loss with parameters": not list(loop.step.objective.parameters()),
            # Autocast does nothing under vmap (torch 2.15): such a stack would train in float32.
            "precision bfloat16": loop.step.autocast is None,
        }
        for what, is_fine in fits.items():
            if not is_fine:
                raise ValueError(f"a stack cannot have {what}; give trainer.engine=eager")
