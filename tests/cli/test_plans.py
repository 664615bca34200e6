"""--dry-run says what would be done, the last lines what was done."""

import re
import shutil

import pytest

from bad import check, snapshot
from losslab.text import duration
from running import TINY, read, status

SWEEP = ("train", "-m", *TINY, "loss=mse,brier", "optimizer.lr=0.1,0.3", "seed=0,1")
STUDY = (
    "study", "sharpness", *TINY, "study.values=[0.1,0.3]", "study.tune_seeds=[0]",
    "study.confirm_seeds=[100,101]", "~study.measures.sharpness",
    "~study.measures.course", "~study.measures.rates", "study.claims=[]", "study.base=[]",
)  # fmt: skip


def untouched(losslab, *command):
    """Return what a command says; it must write nothing, the data cache included."""
    cache = snapshot(losslab.folder.parents[0])
    result = losslab.call(*command, "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert snapshot(losslab.folder.parents[0]) == cache
    return result.out.splitlines()


@pytest.mark.slow
def test_a_sweep_is_counted_before_and_told_after(losslab):
    first, time = untouched(losslab, *SWEEP)
    assert first == "8 runs: 0 done, 8 to do"
    assert time.startswith("time unknown: outputs/runs has no finished run")
    assert list(losslab.folder.iterdir()) == []

    ended = losslab.call(*SWEEP[:-2], "optimizer.lr=0.1", "seed=0,1")
    assert (ended.code, ended.err) == (0, "")
    *_, best, time, report, board = ended.out.splitlines()
    pattern = r"Best by validation accuracy: (mse|brier) \([\d.]+% \[.*\], n = 2, of 2 config.*\)"
    assert re.fullmatch(pattern, best)
    assert re.fullmatch(r"Time: \d+ (s|min)( \d+ s)?", time)
    assert report == "Next: losslab report outputs/runs"
    assert board == "Next: losslab board outputs/runs"
    # Three of the four are of the sweep before.
    again = losslab.call(*SWEEP[:-2], "loss=mse", "optimizer.lr=0.1", "seed=0").out
    assert "Pooled: outputs/runs also holds 3 other runs" in again

    first, time = untouched(losslab, *SWEEP)
    assert first == "8 runs: 4 done, 4 to do"
    assert re.fullmatch(
        r"about .* with 1 at once, at the speed of the finished runs in outputs/runs", time
    )


@pytest.mark.slow
def test_what_is_changed_is_counted_again(losslab):
    assert losslab.call(*SWEEP[:-2], "optimizer.lr=0.1", "seed=0,1").code == 0
    # More work takes longer, another model an unknown time, forced runs count again.
    epochs = untouched(losslab, *SWEEP, "trainer.epochs=20000")[1]
    assert re.search(r"about \d+ (min|h|day)", epochs)
    assert "unknown" in untouched(losslab, *SWEEP, "model=mlp", "model.width=4")[1]
    assert untouched(losslab, *SWEEP[:-2], "optimizer.lr=0.1", "seed=0") == [
        "2 runs: 2 done, 0 to do"
    ]
    forced = untouched(losslab, *SWEEP, "force=true")[0]
    assert forced == "8 runs: 0 done, 8 to do"
    mixed = untouched(losslab, *SWEEP, "model=linear,mlp")
    assert mixed[0] == "16 runs: 4 done, 12 to do"
    assert mixed[2] == "not counted: 8 runs unlike any finished one"


@pytest.mark.slow
def test_the_time_is_that_of_the_finished_runs(losslab):
    run = losslab.finished()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    last = re.sub(r'"wall_s": [\d.]+', '"wall_s": 60.0', lines[-1])
    (run / "metrics.jsonl").write_text("\n".join([*lines[:-1], last, ""]))
    status(run)
    # Two epochs took a minute: eight runs of six on two workers take 12 minutes.
    sweep = ("train", "-m", *TINY[:-1], "launcher.workers=2", "trainer.epochs=6", "seed=range(8)")
    assert untouched(losslab, *sweep)[1].startswith("about 12 min with 2 at once, at the speed")
    # One run is as long as it is, however many workers there are.
    one = ("train", *TINY[:-1], "trainer.epochs=6")
    assert untouched(losslab, *one)[1].startswith("about 3 min with 1 at once")
    # A run of 24 steps took a minute, so 240 take ten.
    steps = ("train", *TINY[:-1], "trainer.steps=240")
    assert untouched(losslab, *steps)[1].startswith("about 10 min with 1 at once")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (90_000, "1 day 1 h")],
)
def test_a_time_in_words(seconds, text):
    assert duration(seconds) == text


def test_a_search_is_counted(losslab):
    pytest.importorskip("optuna")
    command = ("train", "-m", *TINY, "sweeper=optuna", "sweeper.trials=5", "loss=mse,brier")
    first, *_, note = untouched(losslab, *command, "optimizer.lr=interval(0.1,1)", "seed=0,1,2")
    assert first == "up to 30 runs, depending on the results"
    assert note == "2 searches of 5 trials, including those already done"


def test_data_that_are_not_there_are_not_downloaded(losslab, tmp_path):
    command = ("train", "-m", "data=mnist", "model=linear", "seed=0,1", "trainer.device=cpu")
    lines = untouched(losslab, *command)
    assert lines[0] == "2 runs: 0 done, 2 to do"
    assert lines[-1].startswith("mnist: not downloaded yet; checks that need the data")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train -m data=synthetic optimizer.lr=0.1,0 --dry-run", ("optimizer.lr=0", "above 0")),
        ("train -m data=synthetic loss=mes --dry-run", ("'mes'", "'mse'")),
        ("train data=synthetic seed=0,1 --dry-run", ("seed=0,1", "-m")),
        ("train data=synthetic sweeper=optuna --dry-run", ("sweeper=optuna", "-m")),
        ("study seed_varianc --dry-run", ("did you mean 'seed_variance'",)),
        ("study seed_variance seed=1 --dry-run", ("seed=1",)),
        ("study seed_variance --dry", ("--dry", "--dry-run")),
    ],
)
def test_wrong_commands(losslab, command, says):
    check(losslab, tuple(command.split()), says)


@pytest.mark.slow
def test_a_study_is_counted(losslab):
    arms, seeds = 3, 2
    (first, time) = untouched(losslab, *STUDY)
    assert first == (
        f"sharpness: {arms * 2} runs: 0 done, {arms * 2} to do; then up to {arms * seeds} "
        "more, depending on the results"
    )
    assert "unknown" in time
    assert not (losslab.folder / "outputs").exists()
    assert losslab.call(*STUDY).code == 0
    runs = losslab.runs("sharpness")
    (done,) = untouched(losslab, *STUDY)
    assert done == f"sharpness: {len(runs)} runs: {len(runs)} done, 0 to do"
    confirm = [run for run in runs if run.name == "seed=101"]
    shutil.rmtree(confirm[0])
    first, time = untouched(losslab, *STUDY)
    assert first == f"sharpness: {len(runs)} runs: {len(runs) - 1} done, 1 to do"
    assert time.startswith("sharpness: about ")


def test_a_run_ends_with_its_folder(losslab):
    losslab.train()
    for _ in range(2):  # the second time it is finished already
        result = losslab.train()
        (run,) = losslab.runs()
        assert result.out.splitlines()[-1] == str(run.relative_to(losslab.folder))
    assert read(run / "status.json")["status"] == "done"


def test_a_failed_sweep_names_the_best_of_the_rest(losslab):
    """A rate that makes every seed diverge is a result, and not the best."""
    result = losslab.sweep("loss=mse", "optimizer.lr=1.0e+30,0.01", "trainer.epochs=1")
    best, *_ = (line for line in result.out.splitlines() if line.startswith("Best"))
    assert "optimizer.lr=0.01" in best
