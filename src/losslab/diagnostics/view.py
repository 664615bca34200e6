"""The base class of diagnostics, and what they measure: a batch under the current weights."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from losslab.data.batches import EVALUATION_BATCH_SIZE
from losslab.losses import MAP
from losslab.types import Batch, Finding, Predictions, Scalars, TrainingEpoch


@dataclass(frozen=True, kw_only=True)
class View:
    """A fixed probe batch of training examples under the current weights, evaluated once.

    The model is in float32 and the probe without augmentation, so that losses are compared on the
    same inputs. Nothing here changes weights, their ``.grad`` or a random stream.

    Everything that depends on the logits alone is computed on the CPU in float64: in float32 a
    probability above 1 − 3e-8 is 1, and a gradient there is only rounding.

    Attributes:
        model: In evaluation mode.
        objective: What training minimises; ``objective.per_example`` is the loss.
        probe: P training examples with the labels that are trained on.
        initial: The weights before the first step, by name.
        recorded: The run's latest numbers, by tag.
        epoch: The epoch's training batches; ``None`` before the first step.
        val: Predictions of the validation part.
        test: Likewise of the test part, only at the end of the run.
        path: All weights as vectors ``(D,)`` on the CPU by epoch, thinned out, the current ones
            last; only for a diagnostic that ``follows_path``.
    """

    model: nn.Module
    objective: MAP
    probe: Batch
    initial: Mapping[str, Tensor]
    recorded: Scalars
    epoch: TrainingEpoch | None = None
    val: Predictions | None = None
    test: Predictions | None = None
    path: Mapping[int, Tensor] | None = None

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor | None]:
        """Logits ``(P, K)`` with their graph and the features ``(P, D)``, on the device."""
        return self._through(self.model, self.probe.images)

    def _through(
        self, forward: Callable[[Tensor], Tensor], images: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        last_layer = getattr(self.model, "output", None)
        if not isinstance(last_layer, nn.Module):  # a custom model may have none
            return forward(images), None
        inputs: list[Tensor] = []
        with last_layer.register_forward_pre_hook(lambda _, args: inputs.extend(args[:1])):
            logits = forward(images)
        # The layer may be unused, or its input may not be one vector per example.
        if not inputs or inputs[0].shape[:1] != logits.shape[:1]:
            return logits, None
        return logits, inputs[0].detach().flatten(1)

    @cached_property
    def labels(self) -> Tensor:
        """``(P,)`` int64 on the CPU, the labels that are trained on."""
        return self.probe.labels.cpu()

    @cached_property
    def logits(self) -> Tensor:
        """``(P, K)`` float64 on the CPU."""
        return self._graph[0].detach().cpu().double()

    @cached_property
    def loss(self) -> MAP:
        """The objective on the CPU in float64, for :attr:`logits`."""
        return copy.deepcopy(self.objective).cpu().double()

    @cached_property
    def features(self) -> Tensor | None:
        """``(P, D)`` float64 on the CPU, the input of the model's ``.output``, if it uses one."""
        return _precise(self._graph[1])

    @cached_property
    def initial_features(self) -> Tensor | None:
        """The :attr:`features` under the weights before the first step."""
        with torch.no_grad():
            _, features = self._through(
                lambda images: functional_call(self.model, dict(self.initial), (images,)),
                self.probe.images,
            )
        return _precise(features)

    def features_of(self, images: Tensor) -> Tensor | None:
        """Return the features ``(N, D)``, as :attr:`features`, of other images ``(N, C, H, W)``."""
        chunks = []
        with torch.no_grad():
            for chunk in torch.split(images, EVALUATION_BATCH_SIZE):
                features = _precise(self._through(self.model, chunk.to(self.probe.images))[1])
                if features is None:
                    return None
                chunks.append(features)
        return torch.cat(chunks)

    @cached_property
    def probabilities(self) -> Tensor:
        """``(P, K)`` softmax of the logits, under every loss."""
        return self.logits.softmax(1)

    @cached_property
    def p_true(self) -> Tensor:
        """``(P,)`` probability of the label."""
        return self.probabilities.gather(1, self.labels.unsqueeze(1)).squeeze(1)

    @cached_property
    def correct(self) -> Tensor:
        """``(P,)`` bool, whether the largest logit is the label's."""
        return self.logits.argmax(1) == self.labels

    @cached_property
    def logit_gradients(self) -> Tensor:
        """``(P, K)`` gradient of each example's loss with respect to its logits."""
        with torch.enable_grad():
            logits = self.logits.clone().requires_grad_()
            total = self.loss.per_example(logits, self.labels).sum()
            return torch.autograd.grad(total, logits)[0]

    @cached_property
    def parameter_gradients(self) -> dict[str, Tensor]:
        """Gradient of the mean loss, without the prior, by parameter, on the device."""
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        mean = self.objective.per_example(self._graph[0], self.probe.labels).mean()
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            mean, list(named.values()), retain_graph=True, allow_unused=True
        )
        return {n: g for n, g in zip(named, gradients, strict=True) if g is not None}


@dataclass(frozen=True, kw_only=True)
class Diagnostic(ABC):
    """Measures a view; a custom one needs ``every`` and ``measure``, not this class.

    Attributes:
        every: Epochs between two measurements, of which the first is before training and the last
            at its end; ``None`` for a single one after the final evaluation.
        sometimes: Numbers that may be absent because there is nothing to measure.
        follows_path: Whether it needs :attr:`View.path`, which takes memory.
    """

    every: int | None = 1
    sometimes: ClassVar[tuple[str, ...]] = ()
    follows_path: ClassVar[bool] = False

    @abstractmethod
    def measure(self, view: View) -> Finding:
        """Return numbers and curves, which are recorded as ``why/<diagnostic>/<name>``."""


def _precise(features: Tensor | None) -> Tensor | None:
    return None if features is None else features.cpu().double()


def floats(numbers: Mapping[str, Tensor]) -> Scalars:
    """Return tensors ``()`` as numbers, with one copy from their device."""
    if not numbers:
        return {}
    return dict(zip(numbers, torch.stack(list(numbers.values())).tolist(), strict=True))


def finite_floats(numbers: Mapping[str, Tensor]) -> Scalars:
    """Return the finite ones of tensors ``()`` as numbers."""
    return {name: value for name, value in floats(numbers).items() if math.isfinite(value)}
