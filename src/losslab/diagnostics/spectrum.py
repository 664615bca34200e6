"""Both ends of the spectrum and the trace of a symmetric matrix that is known by its products."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Product = Callable[[Vector], Vector]
"""From v ``(D,)`` to A v ``(D,)``, with A symmetric."""

TOLERANCE = 1e-3
"""Of a residual, relative to A; an eigenvalue's error is smaller, about its square."""

SUBSPACE = 20
"""Dimension of the Krylov space for few eigenvalues, of which fewer are new after a restart."""

RESTARTS = 20


def extreme_eigenvalues(product: Product, start: Vector, *, count: int) -> Vector | None:
    """Return eigenvalues in ascending order, the ``count`` from either end among them.

    By SciPy's implicitly restarted Lanczos method (ARPACK), with 22 to 40 products for one from
    each end. ARPACK's tolerance is relative to each eigenvalue, and an end of a spectrum that is
    0, such as that of a convex loss, would never be found well enough. So A + c·1 is given to it,
    with c three times a lower bound of ‖A‖: then neither end is near 0.

    Args:
        product: With A.
        start: ``(D,)``; fixed, so that the result is.
        count: From 1 up.

    Returns:
        ``(2 count,)``, or all D where forming A is no dearer; ``None`` where a product is not
        finite or Lanczos did not converge.

    Source: Lehoucq, Sorensen and Yang 1998, *ARPACK users' guide*.

    >>> diagonal = np.linspace(-1.0, 3.0, 100)
    >>> extreme_eigenvalues(lambda v: diagonal * v, np.ones(100), count=1).round(3)
    array([-1.,  3.])
    """
    # A third of a second that only those who ask for it should wait for.
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    size, wanted = len(start), 2 * count
    once = product(start)
    length = float(np.linalg.norm(once))
    if length == 0:
        return np.zeros(wanted)
    shift = 3 * float(np.linalg.norm(product(once))) / length
    if not np.isfinite(shift):
        return None
    if size <= max(wanted, SUBSPACE):
        return np.linalg.eigvalsh(np.stack([product(axis) for axis in np.eye(size)]))
    shifted = LinearOperator((size, size), lambda v: product(v) + shift * v, dtype=np.float64)
    try:
        found: Vector = eigsh(
            shifted,
            k=wanted,
            which="BE",
            v0=start,
            ncv=min(size, max(SUBSPACE, 2 * wanted + 1)),
            tol=TOLERANCE,
            maxiter=RESTARTS,
            return_eigenvectors=False,
        )
    except ArpackError:
        return None
    return np.sort(found) - shift


def estimated_trace(product: Product, signs: Vector) -> float:
    """Return an unbiased estimate of tr A by Hutch++, with 3m products.

    tr(QᵀAQ) + (1/m) Σ_j gⱼᵀ(1 − QQᵀ) A (1 − QQᵀ) gⱼ, with Q an orthonormal basis of A S: exact
    in the subspace of the large eigenvalues, Hutchinson's average over random signs in the rest.

    With m ≥ D it is exact.

    Args:
        product: With A.
        signs: ``(2, D, m)`` of independent random ±1, S and the g's.

    Source: Meyer, Musco, Musco and Woodruff 2021, *Hutch++: optimal stochastic trace estimation*.

    >>> signs = np.random.default_rng(0).choice([-1.0, 1.0], (2, 100, 10))
    >>> diagonal = np.arange(100.0)  # trace 4950
    >>> round(estimated_trace(lambda v: diagonal * v, signs)), float(diagonal.sum())
    (4954, 4950.0)
    """
    sketch, rest = signs

    def columns(matrix: Vector) -> Vector:
        return np.stack([product(column) for column in matrix.T], axis=1)

    basis = np.linalg.qr(columns(sketch)).Q
    rest = rest - basis @ (basis.T @ rest)
    return float((basis * columns(basis)).sum() + (rest * columns(rest)).sum() / rest.shape[1])
