"""S12: chords of cross-entropy, in the predicted probabilities and in the weights of a network."""

from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from losslab.data import BatchLoader
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, information
from losslab.report.evidence import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.identities.optimum import random_distributions
from losslab.study.measure import Runs
from losslab.study.points import Point
from losslab.study.reading import untrained


def in_probabilities(
    runs: Runs,  # noqa: ARG001
    *,
    num_classes: list[int],
    count: int,
    seed: int,
) -> Measurement:
    """Compare H(p, ·) between two predictions with the chord, on random p, q, r and mixtures.

    Args:
        runs: None are needed.
        num_classes: Values of K.
        count: Triples for each K.
        seed: Of the random numbers.

    Returns:
        ``excess``: the largest ``H(p, t q + (1 − t) r) − t H(p, q) − (1 − t) H(p, r)`` in nats,
        never positive for a convex function.
    """
    draw = generator(seed, "identities", "convexity")
    found = []
    for k in num_classes:
        p, q, r = (random_distributions(count, k, generator=draw) for _ in range(3))
        t = torch.rand(count, 1, generator=draw, dtype=torch.float64)
        ends = [information.cross_entropy(p, end) for end in (q, r)]
        chord = t[:, 0] * ends[0] + (1 - t[:, 0]) * ends[1]
        found.append(information.cross_entropy(p, t * q + (1 - t) * r) - chord)
    excess = torch.cat(found)
    what = "H(p, t q + (1 − t) r) − t H(p, q) − (1 − t) H(p, r) on random triples, nats"
    return Measurement(
        quantities={
            "excess": Quantity(value=excess.max().item(), n=len(excess), what=f"largest {what}"),
        }
    )


def in_weights(runs: Runs, *, examples: int, positions: int) -> Measurement:
    """Walk straight from the weights of one trained network to those of another seed's.

    Needs the sets ``cross_entropy`` (a network with hidden layers) and ``linear``
    (without any); the first two runs of each are the ends.

    Args:
        runs: As above.
        examples: Training pictures on which cross-entropy is measured.
        positions: Places on the way, ends included.

    Returns:
        ``network`` and ``linear``: the largest height of mean cross-entropy above the chord
        between its two ends, in nats; never positive for a convex function.
    """
    ends = {"network": runs["cross_entropy"], "linear": runs["linear"]}
    walks = {name: _walk(points[:2], examples, positions) for name, points in ends.items()}
    where = torch.linspace(0, 1, positions, dtype=torch.float64)
    quantities = {}
    for name, losses in walks.items():
        chord = (1 - where) * losses[0] + where * losses[-1]
        quantities[name] = Quantity(
            value=(losses - chord)[1:-1].max().item(),
            n=positions - 2,
            what=f"largest height of cross-entropy above its chord, {_LABELS[name]}, nats",
        )
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="chord",
                caption="Cross-entropy on the straight line between the weights that two seeds "
                "ended with. In the weights of a linear model it is convex and stays below the "
                "chord (right); in those of a network with hidden layers there is a hill between "
                "(left). The two heights have axes of their own.",
                panels=[
                    Panel(
                        title=f"{label[0].upper()}{label[1:]}",
                        x_label="share of the second seed's weights",
                        y_label="cross-entropy on training pictures, nats",
                        curves=[
                            Curve(
                                label="cross-entropy",
                                x=where.tolist(),
                                y=walks[name].tolist(),
                                loss="cross_entropy",
                            ),
                            Curve(
                                label="chord",
                                x=_CHORD.tolist(),
                                y=torch.lerp(walks[name][0], walks[name][-1], _CHORD).tolist(),
                            ),
                        ],
                    )
                    for name, label in _LABELS.items()
                ],
            )
        ],
    )


_LABELS = {"network": "network with hidden layers", "linear": "linear model"}
_CHORD = torch.linspace(0, 1, 101, dtype=torch.float64)


def _walk(ends: Sequence[Point], examples: int, positions: int) -> Tensor:
    dataset, model = untrained(ends[0])
    loader = BatchLoader(dataset.train, batch_size=1, mean=dataset.mean, std=dataset.std)
    batch = next(loader.in_order(examples))
    model = model.double()
    first, second = (load_file(point.identity.directory.model) for point in ends)
    loss, losses = CrossEntropy(), []
    with torch.inference_mode():
        for t in torch.linspace(0, 1, positions).tolist():
            model.load_state_dict({n: torch.lerp(first[n], second[n], t) for n in first})
            losses.append(loss(model(batch.images.double()), batch.labels))
    return torch.stack(losses)
