"""What it costs to reach an accuracy: epochs, images, floating-point operations and seconds."""

from collections.abc import Mapping

import torch
from torch.utils.flop_counter import FlopCounterMode

from losslab.experiment.build import build
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs, value_of
from losslab.study.numbers import time_to


def cost(runs: Runs, *, at_least: float, labels: Mapping[str, str] | None = None) -> Measurement:
    """Measure the cost of reaching a validation accuracy.

    Quantities are those of :func:`losslab.study.numbers.time_to`. The table adds images, and
    floating-point operations of forward and backward pass as torch counts them (convolutions and
    matrix products, a multiplication and an addition being two; nothing of loss, optimizer,
    evaluation).

    Args:
        runs: A set a loss.
        at_least: The validation accuracy, evaluated after each epoch.
        labels: Set to what people read.
    """
    found = time_to(runs, labels=labels, at_least=at_least)
    rows = []
    for name, members in runs.items():
        examples, each = _examples_and_operations(members[0])
        epochs, seconds = (found.quantities[f"{name}_{what}"] for what in ("epochs", "seconds"))
        low, high = epochs.interval
        images = epochs.value * examples
        rows.append(
            [
                (labels or {}).get(name, name),
                f"{value_of(members[0], 'optimizer.lr'):g}",
                f"{epochs.value:.1f} [{max(0.0, low):.1f}, {high:.1f}]",
                f"{images:,.0f}",
                f"{images * each / 1e12:.2f}",
                f"{seconds.value:.1f}",
            ]
        )
    columns = ["", "rate", "epochs", "images", "10¹² operations", "seconds"]
    title = f"Cost of a validation accuracy of {at_least:.0%}, means over the seeds"
    return Measurement(
        quantities=found.quantities,
        tables=[*found.tables, TableOfNumbers(title=title, columns=columns, rows=rows)],
    )


def _examples_and_operations(run: Run) -> tuple[int, float]:
    """Return the number of training examples, and the operations of a step for each of them."""
    parts = build(run.composed)
    loader = parts.loader("train")
    batch = next(loader.epoch(0, 0))
    with FlopCounterMode(display=False) as counter:
        logits = parts.model.cpu()(batch.images.cpu())
        torch.autograd.backward(logits.sum())
    return loader.num_examples, counter.get_total_flops() / len(batch.labels)
