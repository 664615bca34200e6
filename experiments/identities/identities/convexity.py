"""Is cross-entropy symmetric, a distance, convex (S12 in science.md)?"""

from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from identities import exact, figure
from identities.optimum import random_distributions
from losslab.data import BatchLoader
from losslab.diagnostics import differentiate_twice
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, Loss, SquaredError, information
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.seeding import generator
from losslab.study.measure import Runs, predictions, untrained, value_of

LOSSES: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "brier": SquaredError("softmax", "sum"),
}
LABELS = {"cross_entropy": "cross-entropy", "brier": "squared error after softmax"}
_ROUNDING = -1e-9
_MEASURES = {"cross_entropy": "H(p, q)", "kl_divergence": "KL(p‖q)"}
_GAPS = {"asymmetry": "d(p, q) − d(q, p)", "detour": "d(p, r) − d(p, q) − d(q, r)"}
_ENDS = {"network": "network with hidden layers", "linear": "linear model"}


def counterexamples(_: Runs, *, step: float) -> Measurement:
    """Try every pair and triple of coins whose probability of heads is a multiple of ``step``.

    Args:
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
        gaps = {
            "asymmetry": distance - distance.T,
            # [p, q, r]
            "detour": distance.unsqueeze(1) - distance.unsqueeze(2) - distance.unsqueeze(0),
        }
        for kind, gap in gaps.items():
            found = torch.unravel_index(gap.argmax(), gap.shape)
            what = f"largest {_GAPS[kind]} for d = {symbol} over coins, nats"
            value = gap.max().item()
            quantities[f"{name}_{kind}"] = exact(value, gap.numel(), what)
            shown = [*(f"{heads[place].item():.2f}" for place in found), "–"][:3]
            rows.append([symbol, _GAPS[kind], *shown, f"{value:.4f}"])
    table = TableOfNumbers(
        title="Counter-examples to symmetry and to the triangle inequality, as the probability of "
        "heads",
        columns=["d", "gap", "p", "q", "r", "nats"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


def in_probabilities(_: Runs, *, num_classes: list[int], count: int, seed: int) -> Measurement:
    """Compare H(p, ·) between two predictions with the chord, on random p, q, r and mixtures.

    Args:
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
        p, q, r = (random_distributions(count, k, generator=draw) for _end in range(3))
        t = torch.rand(count, 1, generator=draw, dtype=torch.float64)
        ends = [information.cross_entropy(p, end) for end in (q, r)]
        chord = t[:, 0] * ends[0] + (1 - t[:, 0]) * ends[1]
        found.append(information.cross_entropy(p, t * q + (1 - t) * r) - chord)
    excess = torch.cat(found)
    what = "largest H(p, t q + (1 − t) r) − t H(p, q) − (1 − t) H(p, r) on random triples, nats"
    return Measurement(quantities={"excess": exact(excess.max().item(), len(excess), what)})


def smallest_eigenvalues(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the smallest eigenvalue ``(N,)`` of each example's Hessian in its logits.

    By differentiation, not from the formula whose consequence this is to show.

    Args:
        loss: Any.
        logits: ``(N, K)`` float64.
        labels: ``(N,)`` int64.

    >>> flat = smallest_eigenvalues(LOSSES["brier"], torch.tensor([[3.0, 0.0]]).double(),
    ...                             torch.tensor([1]))
    >>> bool(flat < 0)
    True
    """
    lowest: Tensor = torch.linalg.eigvalsh(differentiate_twice(loss.per_example, logits, labels))
    return lowest[:, 0]


def random_logits(
    _: Runs, *, num_classes: list[int], scales: list[float], count: int, seed: int
) -> Measurement:
    """Look for a negative eigenvalue on normal logits of several sizes.

    Args:
        num_classes: Values of K.
        scales: Standard deviations of the logits.
        count: Logit vectors for each K and scale.
        seed: Of the logits and labels.

    Returns:
        ``cross_entropy`` and ``brier``: the smallest eigenvalue found.
    """
    draw = generator(seed, "identities", "curvature")
    found: dict[str, list[Tensor]] = {name: [] for name in LOSSES}
    for k in num_classes:
        for scale in scales:
            logits = scale * torch.randn(count, k, generator=draw, dtype=torch.float64)
            labels = torch.randint(k, (count,), generator=draw)
            for name, loss in LOSSES.items():
                found[name].append(smallest_eigenvalues(loss, logits, labels))
    return Measurement(
        quantities=_lowest(found, count * len(num_classes) * len(scales), "random logits"),
        drawings=_two_classes(),
    )


def _lowest(found: Mapping[str, Sequence[Tensor]], n: int, where: str) -> dict[str, Quantity]:
    what = "smallest eigenvalue of the logit Hessian of"
    return {
        name: exact(min(v.min().item() for v in values), n, f"{what} {LABELS[name]}, {where}")
        for name, values in found.items()
    }


def _two_classes() -> list[Drawing]:
    margin = torch.linspace(-6, 6, 121, dtype=torch.float64)
    turn = torch.tensor([0.5], dtype=torch.float64).log()  # p_y = 1/3

    def curve(name: str, label: str, lead: Tensor, *, line: bool = True) -> Curve:
        logits = torch.stack([lead, torch.zeros_like(lead)], dim=1)
        values = LOSSES[name].per_example(logits, torch.zeros(len(lead), dtype=torch.int64))
        return Curve(label=label, x=lead.tolist(), y=values.tolist(), loss=name, line=line)

    return figure(
        "two_classes",
        "Two classes, along z_y − z_other. Cross-entropy curves upwards everywhere; squared error "
        "after softmax curves downwards left of the mark, where the answer is wrong.",
        Panel(
            title="Convex, and not",
            x_label="lead of the true class, z_y − z_other",
            y_label="loss (cross-entropy in nats)",
            curves=[
                *(curve(name, LABELS[name], margin) for name in LOSSES),
                curve("brier", "p_y = 1/3, where the curvature turns", turn, line=False),
            ],
        ),
    )


def along_training(runs: Runs, *, examples: int) -> Measurement:
    """Look for a negative eigenvalue on the test logits of networks at several stages of training.

    Needs the sets ``stages_cross_entropy`` and ``stages_brier``, whose ``trainer.steps`` vary;
    each loss is looked at on the logits of the network that it trained.

    Args:
        runs: As above.
        examples: Test images to use.

    Returns:
        ``cross_entropy`` and ``brier``: the smallest eigenvalue of all stages.
    """
    stages = {name: runs[f"stages_{name}"] for name in LOSSES}
    found = {
        name: [
            smallest_eigenvalues(LOSSES[name], logits[:examples], labels[:examples])
            for logits, labels in map(predictions, points)
        ]
        for name, points in stages.items()
    }
    n = examples * len(stages["brier"])

    def panel(title: str, y_label: str, values: dict[str, list[float]]) -> Panel:
        curves = [
            Curve(
                label=LABELS[name],
                x=[float(value_of(point, "trainer.steps")) for point in points],
                y=values[name],
                loss=name,
            )
            for name, points in stages.items()
        ]
        x_label = "steps of training"
        return Panel(title=title, x_label=x_label, x_log=True, y_label=y_label, curves=curves)

    lowest = {name: [v.min().item() for v in values] for name, values in found.items()}
    shares = {
        name: [(v < _ROUNDING).double().mean().item() for v in values]
        for name, values in found.items()
    }
    return Measurement(
        quantities=_lowest(found, n, "test logits along training"),
        drawings=figure(
            "curvature_along_training",
            "The Hessian of the loss in the logits of test images, at several stages of training "
            "with that loss. Cross-entropy has no negative eigenvalue; squared error after softmax "
            "has, and on more of the images early in training.",
            panel("Smallest eigenvalue", "smallest eigenvalue of the Hessian", lowest),
            panel("Images with a negative one", "share of the images", shares),
        ),
    )


def in_weights(runs: Runs, *, examples: int, positions: int) -> Measurement:
    """Walk straight from the weights of one trained network to those of another seed's.

    Needs the sets ``cross_entropy`` (a network with hidden layers) and ``linear``
    (without any); the first two runs of each are the ends.

    Args:
        runs: As above.
        examples: Training images on which cross-entropy is measured.
        positions: Places on the way, ends included.

    Returns:
        ``network`` and ``linear``: the largest height of mean cross-entropy above the chord
        between its two ends, in nats; never positive for a convex function.
    """
    ends = {"network": runs["cross_entropy"], "linear": runs["linear"]}
    where = torch.linspace(0, 1, positions, dtype=torch.float64)
    fine = torch.linspace(0, 1, 101, dtype=torch.float64)
    quantities, panels = {}, []
    for name, label in _ENDS.items():
        losses = _walk(ends[name][:2], examples, positions)
        chord = (1 - where) * losses[0] + where * losses[-1]
        height = (losses - chord)[1:-1].max().item()
        what = f"largest height of cross-entropy above its chord, {label}, nats"
        quantities[name] = exact(height, positions - 2, what)
        panels.append(
            Panel(
                title=f"{label[0].upper()}{label[1:]}",
                x_label="share of the second seed's weights",
                y_label="cross-entropy on training images, nats",
                curves=[
                    Curve(
                        label="cross-entropy",
                        x=where.tolist(),
                        y=losses.tolist(),
                        loss="cross_entropy",
                    ),
                    Curve(
                        label="chord",
                        x=fine.tolist(),
                        y=torch.lerp(losses[0], losses[-1], fine).tolist(),
                    ),
                ],
            )
        )
    caption = (
        "Cross-entropy on the straight line between the weights that two seeds ended with. In the "
        "weights of a linear model it is convex and stays below the chord (right); in those of a "
        "network with hidden layers there is a hill between (left). The two heights have axes of "
        "their own."
    )
    return Measurement(quantities=quantities, drawings=figure("chord", caption, *panels))


def _walk(ends: Sequence[Run], examples: int, positions: int) -> Tensor:
    dataset, model = untrained(ends[0])
    loader = BatchLoader(dataset.train, batch_size=1, mean=dataset.mean, std=dataset.std)
    batch = next(loader.in_order(examples))
    model = model.double()
    first, second = (load_file(point.files.model) for point in ends)
    loss, losses = CrossEntropy(), []
    with torch.inference_mode():
        for t in torch.linspace(0, 1, positions).tolist():
            model.load_state_dict({n: torch.lerp(first[n], second[n], t) for n in first})
            losses.append(loss(model(batch.images.double()), batch.labels))
    return torch.stack(losses)
