"""Which points a study runs, on which seeds, from which weights; and which it verifies first."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from losslab.experiment import Composer
from losslab.report import parse_plan
from losslab.report.plan import PlannedRun
from losslab.study import Study, verify
from losslab.study.execution import Execution
from losslab.study.session import Session, Template
from losslab.study.study import Cell, Point
from report.factory import tiny_plan

STUDY = Study(
    title="Title",
    question="Question?",
    base=["data=synthetic", "model=linear"],
    arms={
        "cross_entropy": {"label": "cross-entropy", "overrides": ["loss=cross_entropy"]},
        "softmax": {"label": "softmax", "overrides": ["loss=mse_softmax"], "scale": 50.0},
        "warm": {"label": "warm", "overrides": ["loss=mse"], "start": "softmax"},
    },
    reference="cross_entropy",
    parameter="optimizer.lr",
    values=[0.1, 0.3],
    tune_seeds=[0],
    confirm_seeds=[100, 101],
)
CHOSEN = {"cross_entropy": 0.1, "softmax": 0.3, "warm": 0.3}


@pytest.fixture(scope="module")
def composed():
    with Composer() as composer:
        session = Session(composer, "x", [], Console(), "")
        yield session, STUDY.cells(session)


@pytest.fixture
def execution(composed):
    session, cells = composed
    plan = replace(STUDY.plan(session, cells, {}), chosen=CHOSEN)
    return Execution(study=STUDY, session=session, cells=cells, sets={}, plan=plan)


def confirmed(execution, **chosen):
    execution.plan = replace(execution.plan, chosen=chosen)
    points = execution.confirming(execution.cells.values())
    return [(point.set_name, point.value) for point in points]


def test_every_arm_is_confirmed_at_its_own_value_the_references_and_a_multiple_of_that(execution):
    assert confirmed(execution, **CHOSEN) == [
        *(("cross_entropy", 0.1), ("cross_entropy:reference", 0.1)),
        *(("softmax", 0.3), ("softmax:reference", 0.1), ("softmax:scaled", 5.0)),
        *(("warm", 0.3), ("warm:reference", 0.1)),
    ]
    assert confirmed(execution, softmax=0.3) == [("softmax", 0.3)]
    execution.study = replace(STUDY, confirm_at=["reference"])
    assert ("warm", 0.3) not in confirmed(execution, **CHOSEN)


def test_a_warm_run_starts_from_the_chosen_run_of_its_seed(execution, monkeypatch):
    planned = [("softmax", 0.3, "b", "own"), ("softmax", 0.1, "c", "reference"),
               ("cross_entropy", 0.3, "d", "own")]  # fmt: skip
    execution.plan = replace(
        execution.plan,
        tune=tuple(PlannedRun("softmax", v, 0, f"a{v}/seed=0", None) for v in (0.3, 0.1)),
        confirm=tuple(
            PlannedRun(arm, value, seed, f"{group}/seed={seed}", rate)
            for arm, value, group, rate in planned
            for seed in STUDY.confirm_seeds
        ),
    )
    monkeypatch.setattr(Cell, "run", lambda cell, *words, start: (cell.name, *words, start))
    found = {
        (name, rate): execution.runs_of(Point(execution.cells[name], rate, 0.7))
        for name, rate in (("warm", None), ("warm", "reference"), ("softmax", None))
    }
    assert found == {
        ("warm", None): [("warm", "optimizer.lr", 0.7, 0, "a0.3/seed=0")],
        ("warm", "reference"): [
            ("warm", "optimizer.lr", 0.7, seed, f"b/seed={seed}") for seed in (100, 101)
        ],
        ("softmax", None): [("softmax", "optimizer.lr", 0.7, 0, None)],
    }


@pytest.mark.parametrize("weight_decay", [0.1, "${seed}"])  # the latter in the identity, too
def test_each_seed_of_a_template_is_a_run_of_its_own(composed, weight_decay):
    template = Template(composed[0], ["data=synthetic", "model=linear"])
    values = {"optimizer.lr": 0.25, "optimizer.weight_decay": weight_decay}
    runs = [template.run(values, seed) for seed in (3, 4)]
    assert [(run.seed, run.composed.seed, run.composed.optimizer.lr) for run in runs] == [
        *((3, 3, 0.25), (4, 4, 0.25))
    ]
    assert ["seed=3" in runs[0].command, "seed=4" in runs[1].command] == [True, True]
    assert (runs[0].digest == runs[1].digest) is (weight_decay == 0.1)
    other = template.run(values | {"optimizer.lr": 0.5}, 3)
    assert (other.composed.optimizer.lr, other.digest == runs[0].digest) == (0.5, False)


POINTS = ["cross_entropy", "mse", "mse:reference", "mse_softmax", "mse_softmax:reference"]


def test_settled_claims_are_verified_first():
    """The sides of a claim in order, then those of open claims, then all other points."""
    plan = tiny_plan()
    for claim in plan["claims"]:  # of which the reference has one point for all rates
        claim["right"]["rate"] = "reference"
    plan = parse_plan(plan)
    verdicts = {"naive": "inconclusive", "level": "supported"}
    claims = [SimpleNamespace(id=name, verdict=verdict) for name, verdict in verdicts.items()]
    ordered = verify._by_importance(plan, dict.fromkeys(POINTS), SimpleNamespace(claims=claims))
    assert ordered == [
        *("mse", "cross_entropy"),
        *("mse_softmax:reference", "mse_softmax", "mse:reference"),
    ]


@pytest.mark.parametrize(
    ("names", "matching"),
    [
        (["all"], ["a@x", "a@x:reference", "a@y", "b@x"]),
        (["a"], ["a@x", "a@x:reference", "a@y"]),
        (["b", "a@x"], ["b@x", "a@x", "a@x:reference"]),
        (["a:own"], ["a@x", "a@y"]),
        (["a@x:reference", "a@x"], ["a@x:reference", "a@x"]),
    ],
)
def test_a_name_of_points_may_omit_condition_and_rate(names, matching):
    points = {
        name: Point(SimpleNamespace(name=name.partition(":")[0]), rate, 0.1)
        for name, rate in (("a@x", "own"), ("a@x:reference", "reference"), ("a@y", "own"),
                           ("b@x", "own"))
    }  # fmt: skip
    assert verify._matching(points, names) == matching


def test_points_that_are_finished_or_wait_for_weights_count_as_none():
    """Of a, b and c one more may run; b is finished, and c starts from a, which is not."""
    points = [
        Point(SimpleNamespace(name=name, start=start), "own", 0.1)
        for name, start in (("c", "a"), ("a", None), ("b", None), ("d", None))
    ]
    execution = SimpleNamespace(
        plan=SimpleNamespace(confirm=[]),
        runs_of=lambda point: [SimpleNamespace(pending=point.cell.name != "b")],
    )
    batch, pending = verify._next_batch(execution, points, 1)
    assert ([point.cell.name for point in batch], pending) == (["a", "b"], 1)
    for rate in ("reference", "own"):  # c starts from the latter
        assert "c" not in [point.cell.name for point in batch]
        execution.plan.confirm.append(SimpleNamespace(arm="a", rate=rate))
        batch, pending = verify._next_batch(execution, points, 4)
    assert ([point.cell.name for point in batch], pending) == (["c", "a", "b", "d"], 3)


@pytest.mark.parametrize(
    ("word", "without"),
    [
        *((f"{key}=x", True) for key in ("launcher", "launcher.gpus", "output_dir", "force")),
        *((f"trainer.{key}=x", True) for key in ("device", "engine", "stack_size", "log_every")),
        *((f"data.{key}=x", True) for key in ("root", "cache_dir", "download")),
        *((f"trainer.{key}=x", False) for key in ("precision", "epochs", "threads", "batch_size")),
        *((f"data.{key}=x", False) for key in ("label_noise", "train_size")),
        *(("loss=mse", False), ("+data.noise_kind=pairwise", False), ("+launcher.at_once=2", True)),
    ],
)
def test_overrides_that_a_verification_may_have_of_its_own(word, without):
    assert bool(verify._WITHOUT_EFFECT.match(word)) is without
