import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from losslab.diagnostics import Landscape
from losslab.diagnostics.landscape import barrier_and_rise, filter_normalized, principal_plane
from losslab.losses import CrossEntropy, SquaredError
from losslab.models import Linear, SmallCNN
from losslab.types import Batch
from viewing import CLASSES, view

SMALL = Landscape(intervals=4, grid=3)


def trained(loss=None, *, model=None, steps: int = 5, rate: float = 0.1):
    """Return a view of a network some steps of gradient descent after its initial weights."""
    seen = view(loss, model=model)
    for _ in range(steps):
        gradients = view(loss, model=seen.model).parameter_gradients
        with torch.no_grad():
            for name, parameter in seen.model.named_parameters():
                parameter -= rate * gradients[name]
    return seen


def loss_and_accuracy(seen, weights) -> tuple[float, float]:
    """Return what a copy of the network with these weights gives."""
    model = copy.deepcopy(seen.model)
    model.load_state_dict(weights, strict=False)
    logits = model(seen.probe.images)
    accuracy = (logits.argmax(1) == seen.labels).double().mean()
    return seen.objective.per_example(logits, seen.labels).mean().item(), accuracy.item()


def test_the_line_against_copies_of_the_network():
    seen = trained()
    columns = SMALL.measure(seen).curves["line"]
    assert columns["position"] == [-0.25, 0, 0.25, 0.5, 0.75, 1, 1.25]
    final = seen.model.state_dict()
    for position, loss, accuracy in zip(*columns.values(), strict=True):
        weights = {n: (1 - position) * seen.initial[n] + position * w for n, w in final.items()}
        expected = loss_and_accuracy(seen, weights)
        assert (loss, accuracy) == (
            pytest.approx(expected[0], rel=1e-6),
            pytest.approx(expected[1]),
        )


def test_the_plane_passes_through_the_final_weights_and_moves_filters_by_their_length():
    seen = trained()
    rows = list(zip(*SMALL.measure(seen).curves["surface"].values(), strict=True))
    assert [row[:2] for row in rows] == [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    final = seen.model.state_dict()
    assert rows[4][2:] == pytest.approx(loss_and_accuracy(seen, final), rel=1e-6)
    d, e = (filter_normalized(seen.model, f"direction {n}") for n in (1, 2))
    assert set(d) == {name for name, value in final.items() if value.dim() > 1}
    for name, weight in final.items():
        if name in d:
            for row, moved in zip(weight, d[name], strict=True):
                assert moved.norm().item() == pytest.approx(row.norm().item())
    moved = {name: final[name] - d[name] + e[name] for name in d}
    assert rows[2][2:] == pytest.approx(loss_and_accuracy(seen, moved), rel=1e-6)


def test_the_path_against_numpy_and_copies_of_the_network():
    seen, snapshots = view(model=Linear((1, 4, 4), CLASSES)), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        with torch.no_grad():
            for parameter in seen.model.parameters():
                parameter += torch.randn(parameter.shape, generator=generator)
        snapshots.append(nn.utils.parameters_to_vector(seen.model.parameters()).detach())
    seen = view(model=seen.model, path=dict(enumerate(snapshots)))
    found, curves = SMALL.measure(seen)
    points = np.stack([snapshot.numpy() for snapshot in snapshots])
    _, spread, rows = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    shares = spread**2 / (spread**2).sum()
    assert curves["path_variance"]["share"] == pytest.approx(shares[:2].tolist(), rel=1e-9)
    assert found["path/variance"] == pytest.approx(shares[:2].sum(), rel=1e-9)
    rows = rows[:2]
    rows *= [[-np.sign(place[np.abs(place).argmax()])] for place in rows @ (points - points[-1]).T]
    x, y = rows @ (points - points[-1]).T
    path = curves["path"]
    assert path["epoch"] == [0, 1, 2, 3, 4]
    assert (path["x"], path["y"]) == (pytest.approx(x, rel=1e-9), pytest.approx(y, rel=1e-9))
    grid = list(zip(*curves["path_surface"].values(), strict=True))
    reach = 0.75 * max(np.ptp(x), np.ptp(y))
    middle = [(place.min() + place.max()) / 2 for place in (x, y)]
    assert grid[2][:2] == pytest.approx((middle[0] - reach, middle[1] + reach), rel=1e-9)
    moved = copy.deepcopy(seen.model)
    vector = torch.from_numpy(points[-1] + np.array(grid[2][:2]) @ rows)
    nn.utils.vector_to_parameters(vector, moved.parameters())
    assert grid[2][2:] == pytest.approx(loss_and_accuracy(seen, moved.state_dict()), rel=1e-6)


@pytest.mark.parametrize("rows", [[0, 1, 1, 0], [0, 1, 2, 7], [3, 3], [0, 1, math.inf]])
def test_a_path_on_a_line_has_no_plane(rows):
    points = torch.tensor(rows).unsqueeze(1) * torch.tensor([1.0, 2.0, 3.0])
    assert principal_plane(points) is None


def test_the_line_of_a_convex_loss_has_no_barrier():
    raw = SquaredError(activation="none", class_reduction="mean")
    seen = trained(raw, model=Linear((1, 4, 4), CLASSES), steps=1)
    found = Landscape().measure(seen).scalars
    assert found == {
        "line/barrier": pytest.approx(0, abs=1e-6),
        "line/rise": pytest.approx(0, abs=1e-6),
        "line/relative_barrier": pytest.approx(0, abs=1e-5),
        "line/relative_rise": pytest.approx(0, abs=1e-5),
    }


def test_a_line_that_leads_up_has_no_relative_heights():
    found = SMALL.measure(trained(rate=-0.1)).scalars
    assert set(found) == {"line/barrier", "line/rise"}
    assert found["line/rise"] > 0


def test_a_fall_that_is_rounding_is_none():
    losses = [0.9, 0.9 + 6e-8, 0.9 - 6e-8]  # of a float32 network that did not learn
    assert set(barrier_and_rise(losses)) == {"line/barrier", "line/rise"}


def test_nothing_is_touched():
    model = SmallCNN((1, 12, 12), CLASSES, width=2, normalization="batch")
    images = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    seen = view(model=model, probe=Batch(images, torch.arange(8) % CLASSES))
    before = copy.deepcopy(seen.model.state_dict())
    first = SMALL.measure(seen)
    torch.manual_seed(12345)
    assert SMALL.measure(seen) == first
    assert all(torch.equal(before[n], v) for n, v in seen.model.state_dict().items())
    assert not any(module.training for module in seen.model.modules())


def test_batch_normalisation_uses_the_statistics_of_the_probe():
    model = SmallCNN((1, 12, 12), CLASSES, width=2, normalization="batch")
    images = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    seen = view(model=model, probe=Batch(images, torch.arange(8) % CLASSES))
    line = SMALL.measure(seen).curves["line"]
    expected = loss_and_accuracy(view(model=copy.deepcopy(model), probe=seen.probe), {})
    seen.model.train()
    in_training = loss_and_accuracy(seen, {})
    assert in_training[0] != pytest.approx(expected[0], rel=1e-3)
    assert line["loss"] == pytest.approx([in_training[0]] * 7, rel=1e-6)


def test_frozen_weights_stay():
    seen = trained(steps=0)
    seen.model.requires_grad_(False)
    losses = SMALL.measure(seen).curves["surface"]["loss"]
    assert losses == [losses[4]] * 9


def test_points_that_are_not_finite_are_left_out():
    seen = trained(CrossEntropy())
    seen.initial["output.bias"].fill_(math.inf)
    found, curves = SMALL.measure(seen)
    assert found == {}
    assert "line" not in curves or all(map(math.isfinite, curves["line"]["loss"]))
    assert len(curves["surface"]["loss"]) == 9
    with torch.no_grad():
        nn.init.constant_(seen.model.output.bias, math.nan)
    assert SMALL.measure(seen) == ({}, {})


@pytest.mark.parametrize("option", [{"intervals": 6}, {"grid": 4}, {"grid": 3.0}])
def test_options_out_of_range(option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name}={value}; give"):
        Landscape(**option)
