"""A comparison under conditions, tiny; and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import open_dict
from rich.console import Console

from bad import bad, check
from losslab.experiment import Composer
from losslab.experiment.make import make
from losslab.report import load_plan, parse_plan
from losslab.study import Study
from losslab.study.outline import SIZES, outline, sized
from losslab.study.session import Session, open_study
from running import read

CONF = Path(__file__).parents[2] / "conf" / "study"
SMALL = ("data=synthetic", "data.train_size=null", "data.val_size=128", "model.width=2")
ARM = {"label": "cross-entropy", "overrides": ["loss=cross_entropy"]}
PARTS = {
    "title": "Title",
    "question": "Question?",
    "base": ["data=synthetic", "model=linear"],
    "arms": {"cross_entropy": ARM, "mse": {"label": "raw", "overrides": ["loss=mse"]}},
    "reference": "cross_entropy",
    "parameter": "optimizer.lr",
    "values": [0.1],
    "select": "val/accuracy",
    "tune_seeds": [0],
    "confirm_seeds": [100, 101],
}
NUMERIC = {"id": "c", "statement": "", "source": "", "quantity": "m.q", "at_least": 0}
BAD_PARTS = [
    ({"values": []}, "study.arms.cross_entropy has no grid; give it values, or give study.values"),
    (
        {"values": [], "arms": {"cross_entropy": ARM | {"value": 0.1}}},
        "study.arms.cross_entropy has no grid; give it values, to which its value is added, or",
    ),
    (
        {"arms": {"cross_entropy": {"label": "a", "override": []}}},
        r"study.arms.cross_entropy.override is unknown \(did you mean 'overrides'\?\); correct it",
    ),
    ({"confirm_at": ["best"]}, r"study.confirm_at=\['best'\]; allowed are own, reference"),
    ({"reference": "hinge"}, "study.reference=hinge; allowed are cross_entropy, mse"),
    ({"confirm_seeds": [0, 1]}, r"the seeds \[0\] are in both tune_seeds and confirm_seeds"),
    ({"arms": {"a@b": ARM}}, "study.arms.a@b: give a name without @"),
    ({"arms": {"a": ARM | {"colour": "red"}}}, "study.arms.a.colour is unknown; correct it"),
    ({"arms": {"a": ARM | {"start": "b"}}}, "study.arms.a.start=b; give an arm that starts"),
    (
        {"arms": {"mse": ARM | {"values": [1]}}, "reference": "mse"},
        r"study.values=\[0.1\] has no effect: every arm that it is for has a grid of its own",
    ),
    (
        {
            "arms": {"mse": ARM | {"values": [0.1]}},
            "reference": "mse",
            "values": [],
            "conditions": {"k2": {"label": "2", "overrides": [], "values": [1]}},
        },
        r"study.conditions.k2.values=\[1.0\] has no effect: every arm that it is for has a grid",
    ),
    ({"conditions": {"k2": {"label": "2"}}}, "study.conditions.k2.overrides is missing; give it"),
    (
        {"conditions": {"k2": {"label": "2", "overrides": {"mze": []}}}},
        r"study.conditions.k2.overrides names 'mze' \(did you mean 'mse'\?\); the arms are",
    ),
    ({"runs": {"a": {"grid": {}}}, "measures": {}}, "study.runs.a.seeds is missing; give it"),
    ({"arms": {}}, "the study has neither arms nor measures"),
    ({"claims": [NUMERIC]}, "claim c names the measure 'm'"),
]


NAMES_NOTHING = [
    bad("claims.rwa.at_most=1", "no claim 'rwa'", "did you mean 'raw'"),
    bad("claims.99.at_most=1", "no claim '99'; the claims of seed_variance are raw, target"),
    bad("measures.spread.tag=test/acuracy", "study.measures.spread", "did you mean 'test/accur"),
    bad("measures.spread.over=mze@e8", "study.measures.spread", "did you mean 'mse@e8'"),
    bad(
        "measures.spread.needs=[mze]",
        "study.measures.spread",
        "are cross_entropy@e8, mse@e8, rescaled_mse@e8, mse_softmax@e8",
    ),
    bad("select=vall/accuracy", "study.select", "did you mean 'val/accuracy'"),
]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", NAMES_NOTHING, ids=str)
def test_what_names_nothing_is_found_before_the_first_run(losslab, wrong):
    (override,) = wrong.command
    command = ("study", "seed_variance", *SMALL, f"study.{override}")
    check(losslab, command, wrong.says)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("val/acuracy", ("claim adam: no run", "'val/acuracy'", "did you mean 'val/accuracy'")),
        ("test/accuracy@fal", ("'test/accuracy@fal'", "did you mean 'fall'")),
        ("why/marginss/margin", ("claim adam", "did you mean 'why/margins/margin'")),
        ("why/landscape/line/rise", ("claim adam", "add the diagnostic")),
    ],
)
def test_a_metric_that_no_run_can_record(losslab, metric, says):
    check(losslab, ("study", "gradient_scale", *SMALL, f"study.claims.adam.metric={metric}"), says)


@pytest.mark.parametrize(("changes", "message"), BAD_PARTS)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Study(**PARTS | changes)


def test_a_condition_may_differ_by_arm():
    overrides = {"mse": ["loss.true_class_target=4.0"]}
    conditions = {"m": {"label": "4", "overrides": overrides}}
    under = Study(**PARTS | {"conditions": conditions}).conditions["m"]
    assert (under.overrides_of("mse"), under.overrides_of("cross_entropy")) == (
        overrides["mse"],
        [],
    )


def test_a_given_value_joins_the_grid_of_its_arm():
    arms = PARTS["arms"] | {"mse": PARTS["arms"]["mse"] | {"value": 0.03, "values": [0.01, 0.1]}}
    arms["m"] = {"label": "M", "overrides": ["loss=rescaled_mse"]}
    conditions = {name: {"label": name, "overrides": []} for name in ("one", "two")}
    study = Study(**PARTS | {"arms": arms, "conditions": conditions})
    with Composer() as composer:
        session = Session(composer, "x", [], Console(), "")
        cells = study.cells(session)
        plan = study.plan(session, cells, {})
    assert cells["mse@two"].values == [0.01, 0.03, 0.1]
    assert cells["cross_entropy@two"].values == [0.1]
    assert plan.given == {"mse@one": 0.03, "mse@two": 0.03}
    assert plan.reference_parameter == "cross-entropy’s best learning rate"
    assert parse_plan(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.arms["m@two"].loss == "rescaled_mse"  # whose colour it has
    given = replace(plan, reference="mse")
    assert given.reference_parameter == "raw’s learning rate"


@pytest.mark.slow
def test_conditions_rates_and_measures(losslab):
    result = losslab.call(
        *("study", "gradient_scale", *SMALL, "trainer.epochs=1"),
        *("trainer.batch_size=64", "trainer.device=cpu", "launcher=serial"),
        *("study.tune_seeds=[0]", "study.confirm_seeds=[100,101]"),
        "study.conditions.adam.values=[0.03,0.1]",
        *(
            f"study.conditions.{name}.values.{arm}=[0.03,0.1]"
            for name in ("sgd", "decay")
            for arm in ("cross_entropy", "mse_softmax")
        ),
    )
    assert result.code == 0, result.err
    root = losslab.folder / "outputs" / "gradient_scale"
    plan = load_plan(root)
    cells = {f"{a}@{c}" for a in ("cross_entropy", "mse_softmax") for c in plan.conditions}
    assert set(plan.arms) == cells == set(plan.chosen)
    for run in plan.confirm:
        own, reference = plan.chosen[run.arm], plan.chosen[plan.reference_of(run.arm)]
        expected = {"own": own, "reference": reference, "scaled": 50 * reference}[run.rate]
        assert run.value == pytest.approx(expected)
        assert read_config(root / run.run)["optimizer"]["lr"] == pytest.approx(expected)
    scaled = {run.arm for run in plan.confirm if run.rate == "scaled"}
    assert scaled == {cell for cell in cells if cell.startswith("mse_softmax")}
    results = read(root / "results.json")
    claims = {claim["id"]: claim for claim in results["claims"]}
    assert claims["fifty"]["n"] == claims["adam"]["n"] == 2
    # Four classes: K²/2 = 8.
    assert claims["fifty"]["value"] == pytest.approx(8, rel=0.1)
    sides = [difference(results, claims["adam"], which) for which in (None, "beyond")]
    assert claims["adam"]["measured"]["difference"] == pytest.approx(sides[0] - sides[1], abs=1e-5)


def difference(results, claim, which) -> float:
    pair = claim if which is None else dict(zip(("left", "right"), claim[which], strict=True))
    left, right = (
        results["arms"][pair[side]["arm"]]["confirmed"][pair[side]["rate"]]
        for side in ("left", "right")
    )
    return left["test/accuracy"]["mean"] - right["test/accuracy"]["mean"]


def read_config(run: Path):
    from omegaconf import OmegaConf

    return OmegaConf.load(run / "config.yaml")


def test_what_a_command_deletes_takes_the_claims_about_it_along():
    """As `~study.conditions.gone` does; another claim about what is not there is refused."""

    def claim(condition):
        rates = {"left": "own", "right": "reference"}
        sides = {s: {"arm": f"mse@{condition}", "rate": rate} for s, rate in rates.items()}
        about = {"id": condition, "statement": "", "source": "", "metric": "test/accuracy"}
        return about | sides | {"direction": "equal", "smallest_effect": 0.01}

    parts = PARTS | {
        "conditions": {"kept": {"label": "1", "overrides": []}},
        "measures": {
            "m": {"_target_": "losslab.study.numbers.lost_classes", "needs": ["mse@gone"]}
        },
        "claims": [claim("kept"), claim("gone"), NUMERIC],
    }
    with Composer() as composer:
        session = Session(composer, "x", [], Console(), "", frozenset({"gone"}))
        study = Study(**parts)
        cells = study.cells(session)
        assert [claim.id for claim in study.plan(session, cells, {}).claims] == ["kept"]
        parts["claims"].append(claim("absent"))
        with pytest.raises(ValueError, match="mse@absent"):
            Study(**parts).plan(session, cells, {})


def opened(name, *overrides):
    with Composer() as composer:
        return open_study(composer, name, overrides, console=Console(), command="")[0]


def test_an_override_changes_a_study_at_its_size():
    """Also a key that the size sets itself, which would replace the override's value."""
    assert opened("why_squared_error", "study.size=quick").tune_seeds == [0, 1]
    seeds = ("study.tune_seeds=[7]", "study.title=Mine", "study.select=val/nll")
    quick = opened("why_squared_error", *seeds, "study.size=quick")
    assert (quick.tune_seeds, quick.title, quick.select) == ([7], "Mine", "val/nll")
    words = ("study.measures.engines.sizes=[1,2]", "study.claims.many.at_least=3")
    full = opened("throughput", "study.size=full", *words)
    assert full.measures["engines"]["sizes"] == [1, 2]
    assert (full.claims[0].id, full.claims[0].at_least) == ("many", 3)
    with pytest.raises(ValueError, match="no claim 'quick'; the claims of throughput are many"):
        opened("throughput", "study.size=full", "study.claims.quick.at_most=1")


STUDIES = sorted(path.stem for path in CONF.glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("size", SIZES)
def test_every_study_can_be_planned(name, size):
    """Its arms compose under every condition, and its claims are about sides that it has."""
    with Composer() as composer:
        node = composer.compose([f"+study={name}"]).study
        if size not in (SIZES[0], *(["full"] if "full" in node else [])):
            return
        with open_dict(node):
            node.size = size
        study = make(sized(node, name), "study", recursive=False)
        session = Session(composer, name, [], Console(), "")
        cells = study.cells(session)
        sets = study.sets(session)
        plan = study.plan(session, cells, sets)
        told = outline(composer, name, [f"study.size={size}"])
    assert set(plan.arms) == set(cells)
    points = sum(len(cell.values) for cell in cells.values())
    alone = sum(map(len, sets.values()))
    for count in (points * len(study.tune_seeds), alone):
        assert not count or f" {count}  " in told
    assert study.title in told
    assert parse_plan(json.loads(json.dumps(plan.to_json()))) == plan
    assert len(study.confirm_seeds) >= 10 or not plan.arms
    for claim in plan.claims:
        for side in claim.sides:
            assert side.rate in plan.rates


WITH_CODE = sorted(path.stem for path in CONF.parents[1].glob("experiments/*/study/*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CODE)
def test_every_size_of_a_study_with_its_own_code_can_be_made(name):
    """Its parts and the arguments of its measures are checked; plans would read their data."""
    with Composer() as composer:
        whole = composer.compose([f"+study={name}"]).study
        for size in (SIZES[0], *(other for other in SIZES[1:] if other in whole)):
            node = whole.copy()
            if size in node:
                with open_dict(node):
                    node.size = size
            study = make(sized(node, name), "study", recursive=False)
            assert study.measures
