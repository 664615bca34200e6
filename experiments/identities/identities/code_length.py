"""KL divergence as lost information (S5 in science.md): code lengths of real labels.

The code is a real one, arithmetic coding in exact integers. A message is a nested interval of
[0, 1): each symbol keeps its share of what is left, so that the interval's width is the product of
the probabilities, and naming a number in it takes that many bits. Witten, Neal and Cleary 1987,
*Arithmetic coding for data compression*.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from identities import exact, figure
from losslab.figures import Curve, Panel
from losslab.losses import information
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import Runs, predictions, value_of

PRECISION = 20
"""Bits of a table's total."""

Table = list[int]
"""A share of ``2 ** PRECISION`` for every symbol."""


def table(probabilities: Tensor) -> Table:
    """Round ``(K,)`` probabilities to whole shares; what is possible keeps at least one.

    >>> import torch
    >>> [share / 2**PRECISION for share in table(torch.tensor([0.5, 0.25, 0.25, 0.0]))]
    [0.5, 0.25, 0.25, 0.0]
    """
    total = 2**PRECISION
    shares = [max(1, round(p * total)) if p > 0 else 0 for p in probabilities.tolist()]
    shares[shares.index(max(shares))] += total - sum(shares)
    return shares


def encode(symbols: Sequence[int], tables: Sequence[Table]) -> str:
    """Return the code of a message as text of 0 and 1.

    Args:
        symbols: The message.
        tables: One a symbol; the reader must have the same.

    >>> encode([0, 0, 1, 0], 4 * [[3 * 2**PRECISION // 4, 2**PRECISION // 4]])
    '0111'
    """
    low, width = 0, 1
    for symbol, shares in zip(symbols, tables, strict=True):
        low = (low << PRECISION) + width * sum(shares[:symbol])
        width *= shares[symbol]
    length = PRECISION * len(symbols)
    # The widest binary interval m·2^s to (m + 1)·2^s inside ours: its m is the code.
    size = width.bit_length()
    while True:
        start = -(-low >> size)
        if (start + 1) << size <= low + width:
            return f"{start:0{length - size}b}" if length > size else ""
        size -= 1


def decode(code: str, tables: Sequence[Table]) -> list[int]:
    """Return the message that :func:`encode` made into ``code`` with these tables.

    >>> decode("0111", 4 * [[3 * 2**PRECISION // 4, 2**PRECISION // 4]])
    [0, 0, 1, 0]
    """
    length = PRECISION * len(tables)
    number = int(code or "0", 2) << (length - len(code))
    low, width, symbols = 0, 1, []
    for index, shares in enumerate(tables):
        seen = number >> (length - PRECISION * (index + 1))
        position = (seen - (low << PRECISION)) // width
        symbol, below = 0, 0
        while position >= below + shares[symbol]:
            below += shares[symbol]
            symbol += 1
        low, width = (low << PRECISION) + width * below, width * shares[symbol]
        symbols.append(symbol)
    return symbols


class Excess(NamedTuple):
    """What coding a message with a wrong code costs, in bits a label.

    Attributes:
        divergence: Mean of KL(p‖q) over the labels.
        ideal: Mean of −log2 q minus mean of −log2 p over the labels.
        written: Length of the arithmetic code made for q minus that made for p.
        length: Of the code made for p.
    """

    divergence: float
    ideal: float
    written: float
    length: float


def excess(runs: Runs) -> Measurement:
    """Code the test labels, knowing the predicted class, at every stage of training.

    p is how often each label really occurs among the examples of one predicted class, q the mean
    of what the network predicts for them. The labels are coded twice, with tables for p and for
    q, into actual bits, and decoded again.

    Returns:
        ``written``: the largest difference between the excess of the written code and KL(p‖q);
        ``smallest``: the smallest excess; both in bits a label.
    """
    points = runs["stages_cross_entropy"]
    steps = [float(value_of(point, "trainer.steps")) for point in points]
    stages = {
        f"network, steps = {value_of(point, 'trainer.steps')}": measure_excess(*predictions(point))
        for point in points
    }
    along = list(stages.values())
    logits, labels = predictions(points[-1])
    stages["all labels equally likely"] = measure_excess(
        logits, labels, predicted=torch.full_like(logits, 1 / logits.shape[1])
    )
    every, n = list(stages.values()), len(stages)
    what = "over the stages of training and a uniform q, bits a label"
    return Measurement(
        quantities={
            "written": exact(
                max(abs(each.written - each.divergence) for each in every),
                n,
                f"largest |arithmetic code's excess − KL(p‖q)| {what}",
            ),
            "smallest": exact(min(each.written for each in every), n, f"smallest excess {what}"),
        },
        drawings=figure(
            "code_length",
            "The divergence is a price in bits: real test labels, written with an arithmetic code "
            "made for what the network predicts, are longer than with a code made for how often "
            "they occur, by KL(p‖q).",
            Panel(
                title="What a wrong prediction costs",
                x_label="steps of training",
                x_log=True,
                y_label="length, bits a label",
                curves=[
                    Curve(label="code made for p", x=steps, y=[e.length for e in along]),
                    Curve(
                        label="code made for q", x=steps, y=[e.length + e.written for e in along]
                    ),
                    Curve(
                        label="code made for p, plus KL(p‖q)",
                        x=steps,
                        y=[e.length + e.divergence for e in along],
                        line=False,
                    ),
                ],
            ),
        ),
        tables=[
            TableOfNumbers(
                title="Bits a label, by the code's q",
                columns=["q", "code for p", "excess written", "ideal", "KL(p‖q)"],
                rows=[
                    [name, *(f"{x:.4f}" for x in (e.length, e.written, e.ideal, e.divergence))]
                    for name, e in stages.items()
                ],
            )
        ],
    )


def measure_excess(logits: Tensor, labels: Tensor, *, predicted: Tensor | None = None) -> Excess:
    """Measure one set of predictions.

    Args:
        logits: ``(N, K)``; the class of the largest says which code an example has.
        labels: ``(N,)`` int64, the message.
        predicted: ``(N, K)`` probabilities; softmax of the logits if not given.
    """
    predicted = logits.softmax(1) if predicted is None else predicted
    p, q = torch.empty_like(logits), torch.empty_like(logits)
    tables: list[dict[int, list[int]]] = [{}, {}]
    groups = logits.argmax(1)
    for group in sorted(set(groups.tolist())):
        members = groups == group
        counts = torch.bincount(labels[members], minlength=logits.shape[1]).to(logits.dtype)
        for where, values, side in (
            (p, counts / counts.sum(), tables[0]),
            (q, predicted[members].mean(0), tables[1]),
        ):
            where[members] = values
            side[group] = table(values)
    rows, n = torch.arange(len(labels)), len(labels)
    surprise = [-side[rows, labels].log2().mean().item() for side in (p, q)]
    message = labels.tolist()
    lengths = []
    for side in tables:
        code = encode(message, [side[group] for group in groups.tolist()])
        assert decode(code, [side[group] for group in groups.tolist()]) == message
        lengths.append(len(code) / n)
    divergence = information.kl_divergence(p, q, unit="bits").mean().item()
    return Excess(divergence, surprise[1] - surprise[0], lengths[1] - lengths[0], lengths[0])
