"""Curvature in weight space: both ends of the Hessian's spectrum, its trace, its two parts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd.functional import hvp

from losslab.diagnostics.spectrum import Vector, estimated_trace, extreme_eigenvalues
from losslab.diagnostics.view import View
from losslab.seeding import generator
from losslab.types import Finding, Scalars


@dataclass(frozen=True, kw_only=True)
class WeightCurvature:
    """Extreme eigenvalues of the Hessian H of the mean loss in the weights, and its trace.

    H = G + R, with J the Jacobian of an example's logits z in the weights and l its loss:

    - the Gauss–Newton part G = mean Jᵀ (∂²l/∂z²) J, as if z were linear in the weights;
    - the rest R = mean Σ_k (∂l/∂z_k) ∂²z_k/∂W², which vanishes with the logit gradients.

    ``hessian/largest``, ``hessian/smallest``, ``hessian/trace``, ``gauss_newton/largest`` and
    ``gauss_newton/smallest``; with ``eigenvalues`` above 1 also ``largest_2`` and so on. A network
    of ReLUs without group or layer normalisation is piecewise linear in each single weight, so R
    has a zero diagonal there and the trace is G's, too.

    Reading: ``hessian/largest`` times the learning rate is what limits the rate (2 for gradient
    descent without momentum), so it compares losses of any scale; under squared error on raw
    scores it stays as the network fits, under cross-entropy it falls (mechanism G). A negative
    ``gauss_newton/smallest`` is the loss's own non-convexity in the logits (mechanism B): it is 0
    for cross-entropy and raw scores, where all negative curvature is the network's, in R.

    The mean is over the first ``examples`` of the probe, in evaluation mode, without the prior: a
    Gaussian one would add 1/(σ²N) to every eigenvalue and D/(σ²N) to the trace of D weights.
    Only weights that are trained count.

    Cost: 75 to 95 products with H or G, each about three gradients over the examples; so a look
    costs as much as 250 batches of that size. The trace is an estimate (Hutch++; its rms error was
    3 to 11% with 30 products). Its vectors are the same for every loss, seed and device.

    Attributes:
        every: Epochs between two looks.
        examples: From 1 up; all of the probe where it has fewer.
        eigenvalues: From each end, from 1 up.
        trace_products: For the trace, a multiple of 3.

    Raises:
        ValueError: A number out of its range.

    Source: the split: Schraudolph 2002, *Fast curvature matrix-vector products for second-order
    gradient descent*; the trace: Meyer et al. 2021, *Hutch++*.
    """

    every: int | None = 5
    examples: int = 128
    eigenvalues: int = 1
    trace_products: int = 30

    def __post_init__(self) -> None:
        for name in ("examples", "eigenvalues"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value}; give a whole number from 1 up")
        products = self.trace_products
        if type(products) is not int or products < 3 or products % 3:
            raise ValueError(f"trace_products={products}; give 3, 6, 9 or so on")

    def smallest(self) -> "_OneProduct":
        """Return what costs as little as can be, for a dry run."""
        return _OneProduct(every=self.every)

    def measure(self, view: View) -> Finding:
        """Return eigenvalues and trace, in units of the loss over those of a weight squared."""
        products = CurvatureProducts(view, self.examples)
        if products.size == 0:  # all frozen
            return Finding({}, {})
        shape = (2, products.size, self.trace_products // 3)
        draw = torch.randint(2, shape, generator=generator(0, "weight_curvature"))
        signs: Vector = 2.0 * draw.numpy() - 1.0
        scalars: Scalars = {}
        with np.errstate(all="ignore"):  # what is not finite is left out below
            scalars["hessian/trace"] = estimated_trace(products.hessian, signs)
            for name in ("hessian", "gauss_newton"):
                product = getattr(products, name)
                values = extreme_eigenvalues(product, signs[0, :, 0], count=self.eigenvalues)
                if values is None:
                    continue
                for rank in range(self.eigenvalues):
                    suffix = f"_{rank + 1}" if rank else ""
                    scalars[f"{name}/largest{suffix}"] = float(values[-1 - rank])
                    scalars[f"{name}/smallest{suffix}"] = float(values[rank])
        return Finding({tag: value for tag, value in scalars.items() if math.isfinite(value)}, {})


@dataclass(frozen=True, kw_only=True)
class _OneProduct:
    """Tells whether network and loss can be differentiated twice."""

    every: int | None

    def measure(self, view: View) -> Finding:
        """Find nothing."""
        weights = [p for p in view.model.parameters() if p.requires_grad]
        images, labels = (part[:2] for part in view.probe)
        if weights:
            loss = view.objective.per_example(view.model(images), labels).mean()
            gradient = _flat_gradient(loss, weights, create_graph=True)
            if gradient.requires_grad:
                _flat_gradient(gradient.sum(), weights)
        return Finding({}, {})


class CurvatureProducts:
    """Products of H and of G with vectors, all from one graph of the network.

    Gradients are differentiated once more in reverse mode, which every layer of torch supports.
    Forward mode (``torch.func.jvp`` of ``jacrev``, which curvlinops uses) needs less memory, but
    under torch 2.15 refuses group normalisation and is wrong for layer normalisation.

    Args:
        view: Model, loss and examples.
        examples: How many of the probe's.

    Attributes:
        size: D, the number of weights that are trained.
    """

    def __init__(self, view: View, examples: int) -> None:
        self._parameters = [p for p in view.model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._parameters)
        if self.size == 0:
            return
        images, self._labels = (part[:examples] for part in view.probe)
        self._per_example = view.objective.per_example
        self._logits = view.model(images)
        self._gradient = _flat_gradient(
            self._mean_loss(self._logits), self._parameters, create_graph=True
        )
        # Jᵀu is linear in u, whose derivative in the direction of v is J v.
        self._u = torch.zeros_like(self._logits, requires_grad=True)
        self._pulled_back = _flat_gradient(
            self._logits, self._parameters, self._u, create_graph=True
        )

    def hessian(self, vector: Vector) -> Vector:
        """Return H v ``(D,)`` of v ``(D,)``."""
        if not self._gradient.requires_grad:  # the loss is linear in the weights
            return np.zeros(self.size)
        return _array(_flat_gradient(self._gradient, self._parameters, self._tensor(vector)))

    def gauss_newton(self, vector: Vector) -> Vector:
        """Return G v ``(D,)`` of v ``(D,)``."""
        moved = _flat_gradient(self._pulled_back, [self._u], self._tensor(vector))
        _, curved = hvp(  # type: ignore[no-untyped-call]
            self._mean_loss, self._logits.detach(), moved.view_as(self._logits)
        )
        return _array(_flat_gradient(self._logits, self._parameters, curved))

    def _mean_loss(self, logits: Tensor) -> Tensor:
        return self._per_example(logits, self._labels).mean()

    def _tensor(self, vector: Vector) -> Tensor:
        # In two steps, because MPS has no float64.
        return torch.from_numpy(vector).to(self._logits.dtype).to(self._logits.device)


def _flat_gradient(
    outputs: Tensor,
    inputs: Sequence[Tensor],
    weights: Tensor | None = None,
    *,
    create_graph: bool = False,
) -> Tensor:
    gradients: tuple[Tensor, ...] = torch.autograd.grad(
        outputs,
        inputs,
        weights,
        retain_graph=True,
        create_graph=create_graph,
        materialize_grads=True,
    )
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def _array(vector: Tensor) -> Vector:
    values: Vector = vector.detach().cpu().double().numpy()
    return values
