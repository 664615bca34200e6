"""Committed results against fresh seeds: right ones are reproduced, falsified ones are caught."""

import json
import math
import shutil

import numpy as np
import pytest
from scipy import stats

import losslab as lab
from bad import check
from losslab.report import parse_plan
from losslab.report.committed import parse_results
from losslab.report.contradictions import contradictions
from losslab.report.reproduction import FALSE_ALARM, NOTICED
from losslab.report.results import to_json
from losslab.study import verify
from report.factory import tiny_plan
from running import TINY, read

pytestmark = pytest.mark.slow  # a study is trained for all of them

STUDY = """\
# Small
_target_: losslab.study.Study
title: Small
question: Is it?
base: []
arms:
  cross_entropy: {label: cross-entropy, overrides: [loss=cross_entropy]}
  mse: {label: raw, overrides: [loss=mse]}
  warm: {label: warm, overrides: [loss=mse], start: cross_entropy}
reference: cross_entropy
parameter: optimizer.lr
values: [0.003]
tune_seeds: [0]
confirm_seeds: [1, 2, 3, 4, 5, 1001]
measures:
  lost: {_target_: losslab.study.numbers.lost_classes, needs: [mse]}
claims:
  - id: far
    statement: Its NLL is higher.
    source: Me
    metric: test/nll
    left: {arm: mse, rate: own}
    right: {arm: cross_entropy, rate: own}
    direction: equal
    smallest_effect: 3.0
  - id: near
    statement: They are level.
    source: Me
    metric: test/brier
    left: {arm: warm, rate: own}
    right: {arm: mse, rate: own}
    direction: equal
    smallest_effect: 0.2
"""
SMALL = ("small", "--config-dir", "my_conf", *TINY)
VERIFY = ("verify", *SMALL, "--seeds", "3", "--minutes", "100")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder in which the first test leaves the study and its verification."""
    return tmp_path_factory.mktemp("kept") / "work"


@pytest.fixture
def study(losslab, kept):
    """The command line in a folder with a finished study, verified."""
    if kept.exists():
        shutil.copytree(kept, losslab.folder, dirs_exist_ok=True)
        return losslab
    (losslab.folder / "my_conf" / "study").mkdir(parents=True)
    (losslab.folder / "my_conf" / "study" / "small.yaml").write_text(STUDY)
    assert losslab.call("study", *SMALL).code == 0
    assert losslab.call(*VERIFY).code == 0
    shutil.copytree(losslab.folder, kept)
    return losslab


def results(study):
    return study.folder / "outputs" / "small" / "results.json"


def change(study, falsify):
    """Falsify results.json."""
    data = read(results(study))
    falsify(data)
    results(study).write_text(json.dumps(data))


def number(data, arm, metric="test/nll"):
    return data["arms"][arm]["confirmed"]["own"][metric]


def claim(data, name):
    return next(claim for claim in data["claims"] if claim["id"] == name)


def forget(data):
    """Make it the results of a version that wrote no seeds' values."""
    if isinstance(data, dict):
        data.pop("by_seed", None)
    for value in (
        data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    ):
        forget(value)


def test_a_right_study_is_reproduced_on_seeds_that_it_did_not_use(study):
    result = study.call(*VERIFY)
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    outcome = "Reproduced: 14 of 14 numbers, 1 of 2 verdicts (1 open"
    assert outcome in " ".join(result.out.split())
    assert outcome in (study.folder / "outputs/verify/small/verification.md").read_text("utf-8")
    assert "claims about measured quantities" not in result.out  # there are none
    # Seed 1001 is one of the study's, and each arm starts where it should.
    runs = study.runs("verify/small")
    assert {path.name for path in runs} == {"seed=1000", "seed=1002", "seed=1003"}
    warm = [read(path / "manifest.json")["command"] for path in runs if "warm" in path.parent.name]
    assert len(warm) >= 3
    assert all("init_from=" in command and "verify/small" in command for command in warm)
    page = (study.folder / "outputs" / "verify" / "small" / "verification.md").read_text()
    assert "| warm | NLL nats |" in page


def test_the_second_call_trains_nothing_and_says_the_same(study):
    before = {path: path.stat().st_mtime_ns for path in study.folder.rglob("seed=*/*")}
    first, second = study.call(*VERIFY), study.call(*VERIFY)
    assert first.out == second.out
    assert "remaining" not in first.out
    assert {path: path.stat().st_mtime_ns for path in study.folder.rglob("seed=*/*")} == before


def test_the_expected_range_is_students_with_a_pooled_variance(study):
    found = lab.verify("small", *TINY, config_dir="my_conf", seeds=3, minutes=100)
    assert found.reproduced
    assert (len(found.numbers), len(found.claims)) == (14, 2)
    level = 1 - FALSE_ALARM / (14 + 2 * 2)
    committed = list(number(read(results(study)), "mse")["by_seed"].values())
    new = lab.load_runs("outputs/verify/small").query("loss == 'mse'")
    new = new[~new["name"].str.contains("warm")]
    row = found.numbers.set_index(["name", "metric"]).loc[("mse", "test/nll")]
    rate = read(results(study))["arms"]["mse"]["chosen"]
    fresh = new[new["name"].str.contains(f"lr={rate}-")]["test/nll"]
    p = stats.ttest_ind(committed, fresh, equal_var=True).pvalue
    freedom = len(committed) + 3 - 2
    pooled = (len(committed) - 1) * np.var(committed, ddof=1) + 2 * np.var(fresh, ddof=1)
    error = math.sqrt(pooled / freedom * (1 / len(committed) + 1 / 3))
    half = stats.t.ppf((1 + level) / 2, freedom) * error
    assert row["expected"].high - row["committed"] == pytest.approx(half, rel=1e-3)
    assert (p > 1 - level) == row["reproduced"]
    # An error of this size is caught as often as it says.
    power = stats.nct.sf(half / error, freedom, row["notices"] / error)
    assert power == pytest.approx(NOTICED, abs=0.01)


def shift(arm, metric, errors):
    """Make a mean, with its seeds' values, wrong by so many of what a verification notices."""

    def falsify(data):
        about = number(data, arm, metric)
        by = errors * max(4 * float(np.std([*about["by_seed"].values()], ddof=1)), 1e-3)
        about["mean"] += by
        about["by_seed"] = {seed: value + by for seed, value in about["by_seed"].items()}
        about["interval"] = [end + by for end in about["interval"]]

    return falsify


def shift_claim(name, by):
    def falsify(data):
        measured = claim(data, name)["measured"]
        measured["difference"] += by
        measured["left"]["mean"] += by
        measured["interval"] = [end + by for end in measured["interval"]]
        measured["by_seed"] = {seed: value + by for seed, value in measured["by_seed"].items()}
        measured["left"]["n"] -= 1  # so that its mean may differ from the arm's

    return falsify


FALSIFIED = [
    (shift("cross_entropy", "test/nll", 3), "NO"),
    (shift("mse", "test/brier", -3), "NO"),
    (shift_claim("far", -0.9), "NO"),
    (lambda data: number(data, "mse").update(mean=number(data, "mse")["mean"] + 0.003), "the mean"),
    (lambda data: claim(data, "far").update(verdict="contradicted"), "contradicted, but supported"),
    (lambda data: claim(data, "near").update(verdict="supported"), "claim near: supported, but"),
    (
        lambda data: claim(data, "far").update(smallest_effect=4.0),
        "differs from the study's claim",
    ),
    (
        lambda data: claim(data, "far")["measured"].update(difference=0.1),
        "not match its sides",
    ),
    (lambda data: number(data, "warm").update(interval=[8.0, 9.0]), "is not in its interval"),
    (lambda data: data["arms"]["mse"].update(chosen=1e-6), "NO"),
    (lambda data: data["arms"]["mse"]["confirmed"].pop("own"), "mse, test/accuracy is missing"),
    (lambda data: data["arms"]["mse"].pop("chosen"), "mse: the chosen value is missing"),
    (lambda data: data["claims"].pop(), "claim near is missing"),
]


@pytest.mark.parametrize(
    ("falsify", "says"), FALSIFIED, ids=[str(i) for i in range(len(FALSIFIED))]
)
def test_what_is_falsified_is_caught(study, falsify, says):
    change(study, falsify)
    result = study.call(*VERIFY)
    assert (result.code, result.err) == (1, "")
    told = " ".join(result.out.split())
    assert says in told
    assert "NOT REPRODUCED" in told


def test_results_without_the_seeds_values_are_compared_by_their_intervals(study):
    change(study, forget)
    result = study.call(*VERIFY)
    assert (result.code, result.err) == (0, "")
    assert "Reproduced: 14 of 14 numbers" in result.out

    def falsify(data):
        number(data, "mse")["mean"] += 1.0
        number(data, "mse")["interval"] = [end + 1.0 for end in number(data, "mse")["interval"]]

    change(study, falsify)
    assert study.call(*VERIFY).code == 1


def test_points_that_are_named_and_those_for_which_there_is_no_time(study):
    shutil.rmtree(study.folder / "outputs" / "verify")
    named = study.call(*VERIFY, "--points", "mse:own")
    assert named.code == 0
    assert len(study.runs("verify/small")) == 3
    told = " ".join(named.out.split())
    assert "claims about such points: far, near" in told
    # No time for more than the first point, and what is finished costs none.
    short = " ".join(study.call(*VERIFY, "--minutes", "0.0001").out.split())
    assert len(study.runs("verify/small")) == 6
    assert "points that were not run (--points or --minutes adds them): warm" in short
    assert "1 of 1 verdicts" in short  # mse against cross-entropy: the first claim with a verdict


def test_a_folder_names_its_study(study):
    words = [word for word in VERIFY[1:] if word != "small"]
    assert study.call("verify", "outputs/small", *words).code == 0
    moved = study.folder / "elsewhere"
    shutil.move(results(study).parent, moved)
    assert study.call(*VERIFY, "--results", str(moved / "results.json")).code == 0


BAD = [
    (("verify",), ("name a study", "losslab verify NAME")),
    (("verify", "smal", *SMALL[1:]), ("unknown study 'smal'", "did you mean 'small'")),
    ((*VERIFY, "--points", "mes"), ("--points mes", "did you mean 'mse'", "warm:reference")),
    ((*VERIFY, "--points", "mse:scaled"), ("--points mse:scaled", "allowed are all")),
    ((*VERIFY, "--seeds", "1"), ("--seeds 1", "at least 2")),
    ((*VERIFY, "--minutes", "0"), ("--minutes 0", "positive")),
    ((*VERIFY, "--seeds", "many"), ("--seeds", "many")),
    (VERIFY[:4], ("made by `losslab study small", "add data=synthetic")),
    ((*VERIFY, "trainer.epochs=3"), ("made by `losslab study small", "omit trainer.epochs=3")),
    ((*VERIFY, "study.size=full"), ("study.size",)),
    ((*VERIFY, "--results", "nowhere"), ("nowhere", "is missing", "losslab study")),
    (("verify", "too_right", "--results", "outputs/small"), ("holds the results of small",)),
    (("verify", "too_right", "study.size=full"), ("no results of too_right_full",)),
    (("verify", "identities"), ("no points to confirm",)),
]  # fmt: skip


@pytest.mark.parametrize(("command", "says"), BAD, ids=lambda words: " ".join(words[-2:]))
def test_bad_input_is_one_line(study, command, says):
    check(study, command, says)


@pytest.mark.parametrize(
    ("falsify", "says"),
    [
        (lambda data: data.update(study="other"), "holds the results of other"),
        (lambda data: data.update(command="rm -rf /"), "'rm -rf /' is not a study's command"),
        (lambda data: data.update(command="losslab study 'a"), "No closing quotation"),
        (lambda data: data["arms"].pop("mse"), "do not have the same arms: mse"),
        (lambda data: number(data, "mse").update(mean="high"), "mean='high'; give a number"),
        (lambda data: claim(data, "far").update(verdict="true"), "far.verdict='true'"),
        (lambda data: data.pop("claims") and data.pop("study"), "study is missing"),
    ],
)
def test_results_that_are_none_are_one_line(study, falsify, says):
    change(study, falsify)
    check(study, VERIFY, (says,))


def test_a_run_that_fails_ends_with_1(study, monkeypatch):
    real = verify.Execution.do

    def broken(self, title, points):
        real(self, title, points)
        self.failed.append(verify.Failed(self.runs_of(points[0])[0], "a reason"))

    monkeypatch.setattr(verify.Execution, "do", broken)
    result = study.call(*VERIFY)
    assert result.code == 1
    assert "a reason" in result.err


def test_rounding_is_no_contradiction():
    """Numbers just above a power of ten lose most to six digits."""
    plan, random = tiny_plan() | {"claims": []}, np.random.default_rng(0)
    for _ in range(300):
        values = random.uniform(0.0999, 0.1061, 10)
        by_seed = dict(enumerate(values.tolist()))
        found = {"n": 10, "mean": values.mean(), "by_seed": by_seed}
        arms = {"mse": {"confirmed": {"own": {"test/brier": found}}}}
        data = {"study": "tiny", "command": "losslab study tiny", "arms": arms, "claims": []}
        data["runs"] = {"complete": False}
        committed = parse_results(json.loads(to_json(data)))
        assert list(contradictions(committed, parse_plan(plan))) == []
        found["mean"] *= 1.0001
        committed = parse_results(json.loads(to_json(data)))
        assert len(list(contradictions(committed, parse_plan(plan)))) == 1
