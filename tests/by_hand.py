"""Losses and their gradients as their docstrings say them, written out a second time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Row = list[float]


def softmax(z: Row) -> Row:
    top = max(z)
    weights = [math.exp(value - top) for value in z]
    total = sum(weights)
    return [weight / total for weight in weights]


def log_softmax(z: Row) -> Row:
    top = max(z)
    normalizer = top + math.log(sum(math.exp(value - top) for value in z))
    return [value - normalizer for value in z]


def sigmoid(z: Row) -> Row:
    return [1 / (1 + math.exp(-value)) for value in z]


def expected(per_class: Callable[[Row, int], float]) -> Callable[[Row, Row], float]:
    """Return the mean of a per-label loss over labels drawn from the target."""
    return lambda z, y: sum(y[i] * per_class(z, i) for i in range(len(z)) if y[i] > 0)


def naive_squared(
    activation: Callable[[Row], Row], mean: bool, k: float, m: float, one_sided: bool = False
):
    def loss(z: Row, y: Row) -> float:
        pairs = list(zip(activation(z), y, strict=True))
        if one_sided:
            pairs = [(min(ai, m) if yi == 1 else max(ai, 0.0), yi) for ai, yi in pairs]
        total = sum((1 + (k - 1) * yi) * (ai - m * yi) ** 2 for ai, yi in pairs)
        return total / len(z) if mean else total

    return loss


def naive_cross_entropy(z: Row, y: Row, epsilon: float = 0.0) -> float:
    smoothed = [(1 - epsilon) * value + epsilon / len(z) for value in y]
    return -sum(yi * li for yi, li in zip(smoothed, log_softmax(z), strict=True))


def naive_kl(z: Row, y: Row) -> float:
    pairs = zip(y, log_softmax(z), strict=True)
    return sum(yi * (math.log(yi) - li) for yi, li in pairs if yi > 0)


def naive_hinge(z: Row, label: int) -> float:
    return sum(max(0.0, z[i] - z[label] + 1) for i in range(len(z)) if i != label)


def naive_squentropy(z: Row, label: int) -> float:
    wrong = sum(z[i] ** 2 for i in range(len(z)) if i != label)
    return -log_softmax(z)[label] + wrong / (len(z) - 1)


def gradient_cross_entropy(z: Tensor, y: Tensor, epsilon: float = 0.0) -> Tensor:
    return z.softmax(1) - ((1 - epsilon) * y + epsilon / z.shape[1])


def gradient_squared(activation: str, mean: bool, k: float, m: float, one_sided: bool = False):
    def gradient(z: Tensor, y: Tensor) -> Tensor:
        a = {"softmax": z.softmax(1), "sigmoid": z.sigmoid(), "none": z}[activation]
        u = 2 * (1 + (k - 1) * y) * (a - m * y) / (z.shape[1] if mean else 1)
        if one_sided:
            return u.where(torch.where(y == 1, z < m, z > 0), 0.0)
        if activation == "softmax":
            return through_softmax(a, u)
        return u * a * (1 - a) if activation == "sigmoid" else u

    return gradient


def through_softmax(p: Tensor, u: Tensor) -> Tensor:
    return p * (u - (p * u).sum(1, keepdim=True))


def gradient_weighted(weight: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return Σ_j y_j c(p_j) (p − e_j) for a weight c: cross-entropy's gradient, reweighted."""

    def gradient(z: Tensor, y: Tensor) -> Tensor:
        p = z.softmax(1)
        c = y * weight(p)
        return c.sum(1, keepdim=True) * p - c

    return gradient


def focal_weight(p: Tensor, gamma: float) -> Tensor:
    return (1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * p.log()


def gradient_hinge(z: Tensor, y: Tensor) -> Tensor:
    violated = ((z > (z * y).sum(1, keepdim=True) - 1) & (y == 0)).to(z.dtype)
    return violated - violated.sum(1, keepdim=True) * y


def naive_binary(z: Row, y: Row) -> float:
    pairs = zip(sigmoid(z), sigmoid([-value for value in z]), y, strict=True)
    return -sum(yi * math.log(on) + (1 - yi) * math.log(off) for on, off, yi in pairs)


def naive_symmetric(z: Row, y: Row, alpha: float, beta: float, floor: float) -> float:
    logs = [max(math.log(yi), floor) if yi > 0 else floor for yi in y]
    reverse = -sum(pi * li for pi, li in zip(softmax(z), logs, strict=True))
    return alpha * naive_cross_entropy(z, y) + beta * reverse


def gradient_symmetric(alpha: float, beta: float, floor: float):
    def gradient(z: Tensor, y: Tensor) -> Tensor:
        reverse = through_softmax(z.softmax(1), y.log().clamp_min(floor))
        return alpha * (z.softmax(1) - y) - beta * reverse

    return gradient


def directed(z: Row, temperature: float) -> Row:
    length = math.sqrt(sum(value**2 for value in z)) or 1.0
    return [value / (temperature * length) for value in z]


def gradient_directed(temperature: float):
    def gradient(z: Tensor, y: Tensor) -> Tensor:
        length = z.norm(dim=1, keepdim=True)
        g = ((z / (temperature * length)).softmax(1) - y) / (temperature * length)
        return g - (g * z).sum(1, keepdim=True) * z / length**2

    return gradient


def tempered_softmax(z: Row, t: float) -> Row:
    """Return exp_t(z − λ), λ by bisection between where the sum is at least and at most 1."""
    low, high = max(z), max(z) + (len(z) ** (t - 1) - 1) / (t - 1)
    for _ in range(200):
        middle = (low + high) / 2
        p = [(1 + (t - 1) * (middle - value)) ** (1 / (1 - t)) for value in z]
        low, high = (middle, high) if sum(p) > 1 else (low, middle)
    return p


def naive_bi_tempered(t1: float, t2: float):
    def log(x: float) -> float:
        return (x ** (1 - t1) - 1) / (1 - t1)

    def loss(z: Row, y: Row) -> float:
        return sum(
            yi * (log(yi) - log(pi)) - (yi ** (2 - t1) - pi ** (2 - t1)) / (2 - t1)
            for pi, yi in zip(tempered_softmax(z, t2), y, strict=True)
        )

    return loss


def gradient_bi_tempered(t1: float, t2: float):
    def gradient(z: Tensor, y: Tensor) -> Tensor:
        p = torch.tensor([tempered_softmax(row, t2) for row in z.tolist()], dtype=z.dtype)
        # dp_i = p_i^t2 (dz_i - sum_j e_j dz_j), so that this can be differentiated once more.
        by, dz = p**t2, z - z.detach()
        p = p + by * (dz - (by / by.sum(1, keepdim=True) * dz).sum(1, keepdim=True))
        v, e = p ** (t2 - t1) * (p - y), p**t2 / (p**t2).sum(1, keepdim=True)
        return v - e * v.sum(1, keepdim=True)

    return gradient
