"""The study ``edge``: the search against known edges, curvature against a closed form."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from edge.prediction import fitted, geometric, share
from edge.search import Cell, apart, examples, find_edge, predicted, sharpness, signal, untrained

from conftest import Commands
from edge import search

FOLDER = Path(__file__).parents[2] / "experiments" / "edge"
STUDY = yaml.safe_load((FOLDER / "study" / "edge.yaml").read_text("utf-8"))
QUADRATIC = {"loss": "mse", "num_classes": 10, "linear": True, "full": True}


@pytest.mark.parametrize("start", [1e-3, 0.9, 1.0, 50.0])
def test_the_search_ends_within_ten_percent_below_the_edge(start):
    assert 1 / 1.1 <= find_edge(lambda rate: rate <= 1.0, start) <= 1.0
    assert 1 / 1.1 <= find_edge(lambda rate: rate <= 1.0, start, factor=4 / 3) <= 1.0


def test_no_edge_where_every_rate_is_stable_or_none():
    assert math.isnan(find_edge(lambda _: True, 1.0))
    assert math.isnan(find_edge(lambda _: False, 1.0))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_on_a_quadratic_the_edge_is_where_theory_has_it(momentum):
    """λ from NumPy: of (2/K)(1/N) Σ x xᵀ, x with a 1 for the bias."""
    cell = Cell(**QUADRATIC, momentum=momentum)
    x = examples(10)[0][: cell.probe].flatten(1).double().numpy()
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    curvature = 2 / 10 * np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    assert sharpness(cell, untrained(cell, 0)) == pytest.approx(curvature, rel=1e-3)
    found = search.measure(cell, seeds=[0], steps=100)
    assert found.edge[0] == pytest.approx(predicted(cell, curvature), rel=0.12)


def test_signal_is_how_much_a_small_step_adds_to_the_margin():
    cell = Cell(loss="squentropy", num_classes=5, momentum=0.0, normalization="batch")
    model, rate = untrained(cell, 0).train(), 1e-3
    images, labels = (part[: cell.probe] for part in examples(5))

    def margin() -> float:
        z = model(images).double()
        true = z.gather(1, labels[:, None]).squeeze(1)
        return (true - (z.sum(1) - true) / 4).mean().item()

    expected, before = signal(cell, model), margin()
    search.LOSSES[cell.loss](model(images), labels).backward()
    torch.optim.SGD(model.parameters(), lr=rate).step()
    assert (margin() - before) / rate == pytest.approx(expected, rel=0.02)


def test_a_network_that_has_died_is_not_stable():
    """At this rate only the biases of the outputs train, and the objective falls."""
    cell = Cell(loss="mse", num_classes=10, momentum=0.9)
    trained = search.train(cell, 0, 3.0, steps=60)
    assert trained.objective[-1] < trained.objective[0]
    assert not apart(trained.model(examples(10)[0][:20]))
    assert not search.is_stable(cell, 0, 3.0, steps=60)


def test_lines_ratios_and_shares():
    x = np.geomspace(1, 100, 9)
    found = fitted(x, 3 * x**0.5, "")
    assert found["slope"].value == pytest.approx(0.5)
    assert found["r2"].low == pytest.approx(1.0)
    assert geometric([1.0, 100.0, 10.0], "").value == pytest.approx(10.0)
    assert share([True] * 7 + [False] * 23, "").low == pytest.approx(0.0993, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"loss": "focal"}, {"num_classes": 50}, {"momentum": 1.0}])
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}={next(iter(wrong.values()))}; "):
        Cell(**{**QUADRATIC, "momentum": 0.0, **wrong})


TINY = (
    *(
        f"study.measures.{name}.{key}={value}"
        for name in STUDY["measures"]
        for key, value in {"seeds": "[0,1]", "steps": 20, "workers": 1, "cache": "null"}.items()
    ),
    *("study.measures.edges.longest=40", "study.measures.edges.threshold=0.2"),
    "study.measures.edges.losses=[cross_entropy,mse,mse_softmax]",
    "study.measures.edges.num_classes={none:[2,10],batch:[2,10]}",
)


@pytest.mark.slow
def test_every_claim_is_measured(losslab: Commands):
    result = losslab.call("study", "edge", *TINY)
    assert result.code == 0, result.err
    folder = losslab.folder / "outputs" / "edge"
    results = json.loads((folder / "results.json").read_text())
    assert [c["id"] for c in results["claims"] if c["effect"] == "missing"] == []
    assert len(results["tables"][2]["rows"]) == 3 * 2 * 2 * 2  # losses, K, momenta, norms
    assert {path.name for path in (folder / "figures").iterdir()} >= {
        *("edge.png", "classes.png", "speed.png"),
    }
