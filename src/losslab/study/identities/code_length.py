"""S5: divergence is the code length lost by coding real labels with the predicted frequencies."""

from typing import NamedTuple

import torch
from torch import Tensor

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import information
from losslab.report.evidence import Measurement, Quantity, TableOfNumbers
from losslab.study.identities.arithmetic_code import decode, encode, table
from losslab.study.measure import Runs
from losslab.study.reading import predictions


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
    stages = {
        f"network, steps = {point.values['trainer.steps']}": measure_excess(*predictions(point))
        for point in runs["stages_cross_entropy"]
    }
    logits, labels = predictions(runs["stages_cross_entropy"][-1])
    stages["all labels equally likely"] = measure_excess(
        logits, labels, predicted=torch.full_like(logits, 1 / logits.shape[1])
    )
    every = list(stages.values())
    n = len(every)
    what = "over the stages of training and a uniform q, bits a label"
    steps = [float(point.values["trainer.steps"]) for point in runs["stages_cross_entropy"]]
    along = every[: len(steps)]
    return Measurement(
        quantities={
            "written": Quantity(
                value=max(abs(each.written - each.divergence) for each in every),
                n=n,
                what=f"largest |arithmetic code's excess − KL(p‖q)| {what}",
            ),
            "smallest": Quantity(
                value=min(each.written for each in every), n=n, what=f"smallest excess {what}"
            ),
        },
        drawings=[
            Drawing(
                name="code_length",
                caption="The divergence is a price in bits: real test labels, written with an "
                "arithmetic code made for what the network predicts, are longer than with a code "
                "made for how often they occur, by KL(p‖q).",
                panels=[
                    Panel(
                        title="What a wrong prediction costs",
                        x_label="steps of training",
                        x_log=True,
                        y_label="length, bits a label",
                        curves=[
                            Curve(label="code made for p", x=steps, y=[e.length for e in along]),
                            Curve(
                                label="code made for q",
                                x=steps,
                                y=[e.length + e.written for e in along],
                            ),
                            Curve(
                                label="code made for p, plus KL(p‖q)",
                                x=steps,
                                y=[e.length + e.divergence for e in along],
                                line=False,
                            ),
                        ],
                    )
                ],
            )
        ],
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
