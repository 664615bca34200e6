"""What every diagnostic looks at: one fixed batch under the present weights."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from losslab.losses import MAP
from losslab.types import Batch, Predictions, Scalars, TrainingEpoch


@dataclass(frozen=True, kw_only=True)
class View:
    """A fixed probe batch of training examples under the present weights, computed once.

    The model is in evaluation mode, in float32 and without augmentation, so that two losses are
    compared on the same inputs. Nothing here changes weights, their ``.grad`` or a random stream.

    What follows from the logits alone is small and is computed on the CPU in float64: in float32
    a probability of the true class above 1 − 3e-8 is 1, and what is left of a gradient there
    would be rounding; and not every device has float64.

    Attributes:
        model: In evaluation mode.
        objective: What training lowers; ``objective.per_example`` is the loss.
        probe: P training examples with the labels that are trained on.
        initial: The weights before the first step, by name.
        recorded: The latest numbers of the run, by tag.
        epoch: Of the training batches; ``None`` before the first step.
        val: Predictions of the validation part, at the end of the run only.
        test: Predictions of the test part, at the end of the run only.
    """

    model: nn.Module
    objective: MAP
    probe: Batch
    initial: Mapping[str, Tensor]
    recorded: Scalars
    epoch: TrainingEpoch | None = None
    val: Predictions | None = None
    test: Predictions | None = None

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor | None]:
        """Return logits ``(P, K)`` with their graph, and the features ``(P, D)`` before them.

        Both are on the device, in the model's type.
        """
        features: list[Tensor] = []
        output = getattr(self.model, "output", None)
        if not isinstance(output, nn.Module):  # a model of one's own may have no last layer
            return self.model(self.probe.images), None
        handle = output.register_forward_pre_hook(lambda _, inputs: features.extend(inputs[:1]))
        try:
            logits = self.model(self.probe.images)
        finally:
            handle.remove()
        # It may be unused, or be given something else than one vector an example.
        found = [f for f in features[:1] if f.shape[:1] == logits.shape[:1]]
        return logits, found[0].detach().flatten(1) if found else None

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
        """``(P, D)`` float64 on the CPU, what the last layer is given.

        ``None`` for a model without a module ``.output``, or one that does not use it.
        """
        features = self._graph[1]
        return None if features is None else features.cpu().double()

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
        """Gradient of the mean loss over the probe, by parameter, on the device.

        Without the prior's.
        """
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        mean = self.objective.per_example(self._graph[0], self.probe.labels).mean()
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            mean, list(named.values()), retain_graph=True, allow_unused=True
        )
        return {n: g for n, g in zip(named, gradients, strict=True) if g is not None}
