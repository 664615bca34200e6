"""Curvature in weight space: both ends of the Hessian's spectrum, its trace, its two parts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.functional import hvp

from losslab.diagnostics.view import Diagnostic, View
from losslab.seeding import generator
from losslab.types import Finding, Scalars

Vector = NDArray[np.float64]
Product = Callable[[Vector], Vector]
"""From v ``(D,)`` to A v ``(D,)``, with A symmetric."""

TOLERANCE = 1e-3  # of a residual, relative to A; an eigenvalue's error is about its square
SUBSPACE = 20  # dimension of the Krylov space
RESTARTS = 20


@dataclass(frozen=True, kw_only=True)
class WeightCurvature(Diagnostic):
    """Extreme eigenvalues of the Hessian H of the mean loss in the weights, and its trace.

    H = G + R, with J the Jacobian of an example's logits z in the weights and l its loss:

    - the Gauss–Newton part G = mean Jᵀ (∂²l/∂z²) J, as if z were linear in the weights;
    - the rest R = mean Σ_k (∂l/∂z_k) ∂²z_k/∂W², which vanishes with the logit gradients.

    ``hessian/largest``, ``hessian/smallest``, ``hessian/trace``, ``gauss_newton/largest`` and
    ``gauss_newton/smallest``; with ``eigenvalues`` above 1 also ``largest_2`` and so on. A network
    of ReLUs without group or layer normalisation is piecewise linear in each single weight, so R
    has a zero diagonal there and the trace is G's, too.

    Reading: ``hessian/largest`` times the learning rate limits the rate (2 for gradient descent
    without momentum), so it compares losses of any scale; under squared error on raw outputs it
    stays as the network fits, under cross-entropy it falls (mechanism G, curvature that stays). A
    negative ``gauss_newton/smallest`` is the loss's own (mechanism B, non-convexity in the
    logits): it is 0 for cross-entropy and raw outputs, where all negative curvature is in R.

    Products are in the model's float32. Where every p_y of the examples is 1 but for its rounding
    (the label leads by 15 or more), the numbers are tiny and may be wrong by a factor of 2, and
    ``gauss_newton/smallest`` is then negative under cross-entropy, too.

    The prior is left out: a Gaussian one would add 1/(σ²N) to every eigenvalue and D/(σ²N) to the
    trace of D weights. Only weights that are trained count. The trace is an estimate (its rms error
    was 3 to 11% with 30 products), whose vectors are the same for every loss, seed and device.

    Cost: 75 to 95 products with H or G, together as much as 250 batches of ``examples``.

    Attributes:
        examples: ≥ 1; the whole probe if it has fewer.
        eigenvalues: From each end, ≥ 1.
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
                raise ValueError(f"{name}={value}; give a whole number ≥ 1")
        products = self.trace_products
        if type(products) is not int or products < 3 or products % 3:
            raise ValueError(f"trace_products={products}; give a multiple of 3 ≥ 3")

    def smallest(self) -> Diagnostic:
        """Return the cheapest diagnostic that can fail where this one does, for a dry run."""
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
        with np.errstate(all="ignore"):  # numbers that are not finite are left out below
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


class _OneProduct(Diagnostic):
    """Fails if the network or the loss cannot be differentiated twice."""

    def measure(self, view: View) -> Finding:
        """Compute one product; return no numbers."""
        products = CurvatureProducts(view, 2)
        if products.size:
            products.hessian(np.ones(products.size))
        return Finding({}, {})


class CurvatureProducts:
    """Products of H and of G with vectors ``(D,)``, all from one graph of the network.

    Gradients are differentiated once more in reverse mode, which every layer of torch supports.
    Forward mode (``torch.func.jvp`` of ``jacrev``, which curvlinops uses) needs less memory, but
    under torch 2.15 refuses group normalisation and is wrong for layer normalisation.

    Attributes:
        size: D, the number of weights that are trained.
    """

    def __init__(self, view: View, examples: int) -> None:
        self._weights = [p for p in view.model.parameters() if p.requires_grad]
        self.size = sum(p.numel() for p in self._weights)
        if self.size == 0:
            return
        images, self._labels = (part[:examples] for part in view.probe)
        self._per_example = view.objective.per_example
        self._logits = view.model(images)
        loss = self._mean_loss(self._logits)
        self._gradient = _flat_gradient(loss, self._weights, create_graph=True)
        # Jᵀu is linear in u, whose derivative in the direction of v is J v.
        self._u = torch.zeros_like(self._logits, requires_grad=True)
        self._pulled_back = _flat_gradient(self._logits, self._weights, self._u, create_graph=True)

    def hessian(self, vector: Vector) -> Vector:
        """Return H v."""
        if not self._gradient.requires_grad:  # the loss is linear in the weights
            return np.zeros(self.size)
        return _array(_flat_gradient(self._gradient, self._weights, self._tensor(vector)))

    def gauss_newton(self, vector: Vector) -> Vector:
        """Return G v."""
        moved = _flat_gradient(self._pulled_back, [self._u], self._tensor(vector))
        _, curved = hvp(  # type: ignore[no-untyped-call]
            self._mean_loss, self._logits.detach(), moved.view_as(self._logits)
        )
        return _array(_flat_gradient(self._logits, self._weights, curved))

    def _mean_loss(self, logits: Tensor) -> Tensor:
        return self._per_example(logits, self._labels).mean()

    def _tensor(self, vector: Vector) -> Tensor:
        # In two steps, because MPS has no float64.
        return torch.from_numpy(vector).to(self._logits.dtype).to(self._logits.device)


def extreme_eigenvalues(product: Product, start: Vector, *, count: int) -> Vector | None:
    """Return the ``count`` smallest and the ``count`` largest eigenvalues of A, ascending.

    By SciPy's implicitly restarted Lanczos method (ARPACK) from ``start`` ``(D,)``, with 22 to 40
    products for one from each end; all D eigenvalues where forming A costs no more; ``None`` where
    a product is not finite or Lanczos did not converge.

    ARPACK's tolerance is relative to each eigenvalue, so an end of a spectrum that is 0, such as
    that of a convex loss, would never be found well enough. It is given A + c·1 instead, with c
    three times a lower bound of ‖A‖: then neither end is near 0.

    Source: Lehoucq, Sorensen and Yang 1998, *ARPACK users' guide*.

    >>> diagonal = np.linspace(-1.0, 3.0, 100)
    >>> extreme_eigenvalues(lambda v: diagonal * v, np.ones(100), count=1).round(3)
    array([-1.,  3.])
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh  # slow to import

    size, total = len(start), 2 * count
    image = product(start)
    length = float(np.linalg.norm(image))
    if length == 0:
        return np.zeros(total)
    shift = 3 * float(np.linalg.norm(product(image))) / length
    if not np.isfinite(shift):
        return None
    if size <= max(total, SUBSPACE):
        return np.linalg.eigvalsh(np.stack([product(axis) for axis in np.eye(size)]))
    shifted = LinearOperator((size, size), lambda v: product(v) + shift * v, dtype=np.float64)
    try:
        eigenvalues: Vector = eigsh(
            shifted,
            k=total,
            which="BE",
            v0=start,
            ncv=min(size, max(SUBSPACE, 2 * total + 1)),
            tol=TOLERANCE,
            maxiter=RESTARTS,
            return_eigenvectors=False,
        )
    except ArpackError:
        return None
    return np.sort(eigenvalues) - shift


def estimated_trace(product: Product, signs: Vector) -> float:
    """Return an unbiased estimate of tr A by Hutch++, with 3m products; exact for m ≥ D.

    tr(QᵀAQ) + (1/m) Σ_j gⱼᵀ(1 − QQᵀ) A (1 − QQᵀ) gⱼ, with Q an orthonormal basis of A S: exact
    in the subspace of the large eigenvalues, Hutchinson's average over random signs in the rest.
    S and the g's are ``signs``, ``(2, D, m)`` of independent random ±1.

    Source: Meyer, Musco, Musco and Woodruff 2021, *Hutch++: optimal stochastic trace estimation*.

    >>> signs = np.random.default_rng(0).choice([-1.0, 1.0], (2, 100, 10))
    >>> round(estimated_trace(lambda v: np.arange(100.0) * v, signs))  # 4950
    4954
    """
    sketch, probes = signs

    def columns(matrix: Vector) -> Vector:
        return np.stack([product(column) for column in matrix.T], axis=1)

    basis = np.linalg.qr(columns(sketch)).Q
    rest = probes - basis @ (basis.T @ probes)
    return float((basis * columns(basis)).sum() + (rest * columns(rest)).sum() / rest.shape[1])


def _flat_gradient(
    outputs: Tensor, inputs: Sequence[Tensor], weights: Tensor | None = None, **options: bool
) -> Tensor:
    options |= {"retain_graph": True, "materialize_grads": True}
    gradients = torch.autograd.grad(outputs, inputs, weights, **options)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def _array(vector: Tensor) -> Vector:
    values: Vector = vector.detach().cpu().double().numpy()
    return values
