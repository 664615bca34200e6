"""S12: pairs and triples of coins that no distance allows."""

import torch
from torch import Tensor

from losslab.losses import information
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.study.measure import Runs

_MEASURES = {"cross_entropy": "H(p, q)", "kl_divergence": "KL(p‖q)"}


def search(
    runs: Runs,  # noqa: ARG001
    *,
    step: float,
) -> Measurement:
    """Try every pair and triple of coins whose probability of heads is a multiple of ``step``.

    Args:
        runs: None are needed.
        step: E.g. 0.05; 0 and 1 are left out, where the measures may be infinite.

    Returns:
        For ``cross_entropy`` and ``kl_divergence``, d for short: ``<d>_asymmetry``, the largest
        ``d(p, q) − d(q, p)``, and ``<d>_detour``, the largest ``d(p, r) − d(p, q) − d(q, r)``, in
        nats; the coins that have them are in tables.
    """
    heads = torch.arange(1, round(1 / step), dtype=torch.float64) * step
    coins = torch.stack([heads, 1 - heads], dim=1)
    quantities, rows = {}, []
    for name, symbol in _MEASURES.items():
        distance = getattr(information, name)(coins.unsqueeze(1), coins.unsqueeze(0))
        asymmetry = distance - distance.T
        # [p, q, r]
        detour = distance.unsqueeze(1) - distance.unsqueeze(2) - distance.unsqueeze(0)
        for kind, gaps in (("asymmetry", asymmetry), ("detour", detour)):
            value, found = _largest(gaps)
            quantities[f"{name}_{kind}"] = Quantity(
                value=value,
                n=gaps.numel(),
                what=f"largest {_GAPS[kind]} for d = {symbol} over coins, nats",
            )
            rows.append(
                [symbol, _GAPS[kind]]
                + [f"{heads[i].item():.2f}" for i in found]
                + ["–"] * (3 - len(found))
                + [f"{value:.4f}"]
            )
    return Measurement(
        quantities=quantities,
        tables=[
            TableOfNumbers(
                title="Counter-examples to symmetry and to the triangle inequality, as the "
                "probability of heads",
                columns=["d", "gap", "p", "q", "r", "nats"],
                rows=rows,
            )
        ],
    )


_GAPS = {"asymmetry": "d(p, q) − d(q, p)", "detour": "d(p, r) − d(p, q) − d(q, r)"}


def _largest(values: Tensor) -> tuple[float, list[int]]:
    best = int(values.argmax())
    return values.flatten()[best].item(), [
        int(i) for i in torch.unravel_index(torch.tensor(best), values.shape)
    ]
