"""Softmax regression and multi-layer perceptrons on the pixels."""

from math import prod

from torch import nn

from losslab.models.base import Classifier, Shape, check_sizes


class Linear(Classifier):
    """``W x + b`` on the flattened image: softmax regression.

    With cross-entropy this is multinomial logistic regression, convex in its weights.

    The arguments are those of :class:`Classifier`.

    >>> import torch
    >>> Linear((1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_sizes(input_shape, smallest=1, model="linear")
        super().__init__(nn.Flatten(), prod(input_shape), num_classes, output_scale, output_bias)


class MLP(Classifier):
    """``depth`` hidden layers of ``width`` units with ReLU, then a linear layer.

    Batch normalisation is not offered: it fails on a last batch of one example. ``width`` and
    ``depth`` are ≥ 1; ``normalization``, ``none`` or ``layer``, comes before each ReLU. The
    other arguments are those of :class:`Classifier`.

    >>> import torch
    >>> MLP((1, 8, 8), 3, width=16)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        width: int = 256,
        depth: int = 2,
        normalization: str = "none",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_sizes(input_shape, smallest=1, width=width, model="mlp")
        if depth < 1:
            raise ValueError(f"depth={depth}; give 1 or more hidden layers, or use model=linear")
        if normalization not in ("none", "layer"):
            raise ValueError(f"normalization={normalization!r}; give one of none, layer")
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs in (prod(input_shape), *[width] * (depth - 1)):
            layers.append(nn.Linear(inputs, width))
            if normalization == "layer":
                layers.append(nn.LayerNorm(width))
            layers.append(nn.ReLU())
        super().__init__(nn.Sequential(*layers), width, num_classes, output_scale, output_bias)
