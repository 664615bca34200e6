"""losslab best and losslab compare, on runs with known numbers, many of them."""

import json

import numpy as np
import pytest

from bad import check
from losslab.report.estimates import Sampler, compare
from losslab.report.findings import sweep
from losslab.report.runs import load_runs
from losslab.report.sweep_report import rank
from report.factory import MANIFEST, tiny_plan, write_run, write_study

RATES = [round(0.001 * 1.2**index, 6) for index in range(24)]
BEST = {"mse": RATES[7], "brier": RATES[15], "cross_entropy": RATES[20]}


def logits(right: float, *, seed: int, size: int = 40):
    """Return (logits, labels) with exactly this accuracy, the same examples hard for all."""
    labels = np.arange(size) % 4
    hard = np.random.default_rng(0).permutation(size)
    top = np.where(hard < round(right * size), labels, (labels + 1) % 4)
    noise = np.random.default_rng(seed).normal(0, 0.1, (size, 4))
    return (noise + 3 * np.eye(4)[top]).astype(np.float32), labels


def name_of(loss: str, rate: float) -> str:
    return f"{loss}-lr={rate:g}-0a{RATES.index(rate):06x}"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """216 runs: 3 losses, 24 rates, 3 seeds; each loss is best at one rate, by 0.05 or more."""
    folder = tmp_path_factory.mktemp("outputs") / "rates"
    heights = {"mse": 0.8, "brier": 0.7, "cross_entropy": 0.9}
    for loss, height in heights.items():
        for rate in RATES:
            for seed in range(3):
                accuracy = height if rate == BEST[loss] else height - 0.1
                accuracy += 0.025 * (seed - 1)
                found, labels = logits(accuracy, seed=seed)
                write_run(
                    folder,
                    f"{name_of(loss, rate)}/seed={seed}",
                    accuracy=accuracy,
                    logits=found,
                    labels=labels,
                    config={"loss": {"_target_": loss}, "optimizer": {"lr": rate}, "seed": seed},
                )
    return folder


@pytest.fixture
def two_data_sets(tmp_path):
    """Four runs: two losses on an easy and on a hard data set, each read by a class of its own."""
    data = {
        "easy": {"source": {"noise": 0.1}},
        "hard": {"source": {"root": "."}, "augment": "flip"},
    }
    for loss, easy, hard in (("mse", 0.9, 0.6), ("brier", 1.0, 0.5)):
        for dataset, accuracy in (("easy", easy), ("hard", hard)):
            write_run(
                tmp_path,
                f"{loss}-{dataset}-0000000{dataset[0]}/seed=0",
                accuracy=accuracy,
                config={
                    "loss": {"_target_": loss},
                    "data": {"dataset": dataset, **data[dataset]},
                    "model": {"_target_": f"losslab.models.{dataset.title()}Net"},
                    "seed": 0,
                },
                manifest={**MANIFEST, "choices": {"model": f"{dataset}_net", "loss": loss}},
            )
    return tmp_path


def test_each_data_set_has_a_best_of_its_own(losslab, two_data_sets):
    code, out, err = losslab.call("best", str(two_data_sets))
    assert (code, err) == (0, "")
    easy, _, hard, folder, _, title = out.splitlines()[:6]
    assert title == "Best configuration for each loss on each data set, by validation accuracy"
    assert easy.startswith("Best by validation accuracy: brier, data=easy, model=easy_net (98.3%")
    assert hard.startswith("Best by validation accuracy: mse, data=hard, model=hard_net (60.0%")
    assert hard.endswith("n = 1, of 2 configurations)")
    assert folder == str(two_data_sets / "mse-hard-0000000h")


def test_compare_leaves_out_what_a_choice_implies(losslab, two_data_sets):
    folders = [str(two_data_sets / name) for name in ("mse-easy-0000000e", "mse-hard-0000000h")]
    code, out, err = losslab.call("compare", *folders)
    assert (code, err) == (0, "")
    settings = out.partition("configuration")[2].partition("A − B")[0]
    assert [line.split() for line in settings.splitlines() if line.strip()] == [
        ["A", "B"],
        ["data", "easy", "hard"],
        ["model", "easy_net", "hard_net"],
    ]


@pytest.mark.parametrize("choices", [5, ["x"], {"model": ["x"]}, {"model": None}])
def test_choices_of_any_type_leave_the_class(losslab, two_data_sets, choices):
    path = two_data_sets / "mse-hard-0000000h" / "seed=0" / "manifest.json"
    path.write_text(json.dumps({**MANIFEST, "choices": choices}))
    code, out, err = losslab.call("best", str(two_data_sets))
    assert (code, err) == (0, "")
    assert "model=HardNet" in out


def test_the_best_of_each_loss(losslab, many):
    code, out, err = losslab.call("best", str(many))
    assert (code, err) == (0, "")
    first, folder, *table = out.splitlines()
    rate = BEST["cross_entropy"]
    assert first.startswith(
        f"Best by validation accuracy: cross_entropy, optimizer.lr={rate:g} (90.0% ["
    )
    assert first.endswith("n = 3, of 72 configurations)")
    assert folder == str(many / name_of("cross_entropy", rate))
    rows = [line.split()[:3] for line in table if line.split()[:1] and line.split()[0] in BEST]
    assert rows == [[loss, f"{BEST[loss]:g}", "3"] for loss in ("cross_entropy", "mse", "brier")]


def test_by_another_metric_and_direction(losslab, many):
    lowest = losslab.call("best", str(many), "--by", "val/accuracy", "--direction", "minimize").out
    assert lowest.startswith("Best by validation accuracy: brier")
    loss = rank(many, by="test/accuracy").best[0].loss
    assert loss == "cross_entropy"


def test_a_configuration_that_diverged_without_a_number_is_not_the_best(tmp_path):
    for seed in range(2):
        write_run(tmp_path, f"mse-lr=1-0a/seed={seed}", accuracy=0.99, predictions=False)
        write_run(tmp_path, f"mse-lr=2-0b/seed={seed}", accuracy=0.5, predictions=False)
    write_run(
        tmp_path, "mse-lr=1-0a/seed=2", accuracy=None, curve=(), status="diverged",
        predictions=False,
    )  # fmt: skip
    assert [each.group for each in rank(tmp_path).best] == ["mse-lr=2-0b"]


def test_a_study_is_ranked_on_its_tuning_seeds(tmp_path, losslab):
    study = write_study(tmp_path / "tiny", tiny_plan())
    found = rank(study)
    by_loss = {each.loss: each for each in found.best}
    assert {loss: each.group.split("-")[1] for loss, each in by_loss.items()} == {
        "cross_entropy": "lr=0.1",
        "mse": "lr=0.1",
        "mse_softmax": "lr=1",
    }
    assert {each.measured[found.by].planned for each in found.configurations} == {3}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nowhere", ("nowhere is not a folder",)),
        (".", ("holds no runs",)),
        ("{many} --by val/acuracy", ("did you mean 'val/accuracy'", "available: val/accuracy, te")),
        ("{many} --by val/accuracy@fall", ("--direction maximize or --direction minimize",)),
        ("{many} --by val/accuracy@fal", ("did you mean 'fall'",)),
        ("{many} --direction up", ("'up'", "maximize")),
        ("", ("path",)),
    ],
)
def test_what_best_refuses(losslab, many, arguments, says):
    check(losslab, ("best", *arguments.format(many=many).split()), says)


def test_nothing_finished_has_no_best(losslab):
    write_run(losslab.folder / "outputs", "mse-lr=1-0a/seed=0", status="failed")
    check(losslab, ("best", "outputs"), ("--by val/accuracy", "available: none yet"))


def test_a_comparison_is_that_of_the_report(losslab, many):
    sides = [many / name_of("cross_entropy", RATES[3]), many / name_of("mse", RATES[3])]
    code, out, err = losslab.call("compare", *map(str, sides))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [f"A: {sides[0]}", f"B: {sides[1]}"]
    assert ["loss", "cross_entropy", "mse"] in [line.split() for line in lines]
    assert not [line for line in lines if line.startswith(" optimizer.lr")]
    samples = []
    for side in sides:
        runs = load_runs(side)
        samples.append(Sampler(runs).sample(tuple(run.name for run in runs), "test/accuracy"))
    expected = compare(*samples)
    assert expected.mean == pytest.approx(0.1)
    low, high = (100 * end for end in expected.interval)
    assert f"+10.0 pp [{low:+.1f}, {high:+.1f}]".replace("-", "−") in out
    (row,) = (line.split() for line in lines if line.startswith(" test accuracy"))
    assert row[-1] == "3"


def test_only_shared_seeds_are_compared(losslab, tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, f"mse-lr=1-0a/seed={seed}", accuracy=0.9)
    for seed in (1, 2, 3):
        write_run(tmp_path, f"brier-lr=1-0b/seed={seed}", accuracy=0.8)
    paths = [str(tmp_path / name) for name in ("mse-lr=1-0a", "brier-lr=1-0b")]
    out = " ".join(losslab.call("compare", *paths).out.split())
    assert "(2: 1, 2)" in out
    assert "Left out, because only one of the two has finished it: seed 0, 3." in out
    one = losslab.call("compare", f"{paths[0]}/seed=1", paths[1])
    assert (one.code, "One seed gives no interval" in one.out) == (0, True)
    says = ("no seed is finished in both", "mse-lr=1-0a/seed=0 has 0", "has 1, 2, 3")
    check(losslab, ("compare", f"{paths[0]}/seed=0", paths[1]), says)


def test_the_curves_are_drawn_where_one_asks(losslab, many):
    sides = [str(many / name_of(loss, RATES[3])) for loss in ("mse", "brier")]
    result = losslab.call("compare", *sides, "--png", "curves.png")
    assert (result.code, result.out.splitlines()[-1]) == (0, "Written: curves.png")
    content = (losslab.folder / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    again = losslab.call("compare", *sides, "--png", "curves.png")
    assert (again.code, (losslab.folder / "curves.png").read_bytes() == content) == (0, True)
    (losslab.folder / "mine.png").write_bytes(b"my own")
    check(losslab, ("compare", *sides, "--png", "mine.png"), ("mine.png", "not generated"))
    check(losslab, ("compare", *sides, "--png", "a.pdf"), ("a.pdf", "ends in .png"))
    says = ("test/accuracy was not recorded while training", "leave out --png")
    check(losslab, ("compare", *sides, "--by", "test/accuracy", "--png", "b.png"), says)


def test_what_compare_refuses(losslab, many):
    one = str(many / name_of("mse", RATES[0]))
    check(losslab, ("compare", one, f"{one}/."), ("the same folder",))
    check(losslab, ("compare", one, str(many)), ("72 configurations", "losslab best"))
    check(losslab, ("compare", one, "nowhere"), ("nowhere is not a folder",))
    check(losslab, ("compare", one), ("B", "losslab compare --help"))
    other = str(many / name_of("mse", RATES[1]))
    check(losslab, ("compare", one, other, "--by", "test/acc"), ("--by test/acc", "test/accuracy"))


def test_a_sweep_is_sorted_by_validation_accuracy(many):
    found = sweep(load_runs(many))
    scores = [each.score for each in found.configurations]
    assert scores == sorted(scores, reverse=True)
    best = {each.loss: each.varied["optimizer.lr"] for each in found.best}
    assert best == BEST
