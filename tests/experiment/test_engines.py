"""Runs that train as one program leave what they would have left alone."""

import signal
import subprocess
import sys
import time

import pytest

from losslab.experiment import Composer, with_engine
from losslab.experiment import train as module
from losslab.experiment.compose import without_hydra
from running import TINY, records, results, status

SWEEP = (
    *("model=small_cnn", "model.width=4", "model.normalization=batch", "trainer.epochs=3"),
    *("loss=cross_entropy,mse", "optimizer.lr=0.1,0.01", "trainer.log_every=4"),
)


def numbers(run):
    """Return the records of a run without times."""
    times = ("wall_s", "time/examples_per_s")
    return [{k: v for k, v in row.items() if k not in times} for row in records(run)]


@pytest.mark.slow
def test_a_stacked_sweep_is_the_eager_one_to_rounding(losslab):
    losslab.sweep(*SWEEP, "name=eager")
    losslab.sweep(*SWEEP, "name=stacked", "trainer.engine=stacked")
    alone, stacked = losslab.runs("eager"), losslab.runs("stacked")
    assert len(alone) == len(stacked) == 4
    for one, other in zip(alone, stacked, strict=True):
        # The name is the same but for its hash: other bits are another run.
        assert one.parent.name[:-8] == other.parent.name[:-8]
        assert one.parent.name != other.parent.name
        assert {path.name for path in one.iterdir() if "tfevents" not in path.name} == {
            path.name for path in other.iterdir() if "tfevents" not in path.name
        }
        for before, after in zip(numbers(one), numbers(other), strict=True):
            assert after == pytest.approx(before, rel=1e-3, abs=1e-4)
        log = (other / "log.txt").read_text()
        assert log.count("data: synthetic") == log.count("done after") == 1


def test_the_engine_of_one_run_changes_no_bit_and_no_name(losslab):
    engines = ("auto", "eager", "graph")
    runs = [losslab.run(f"trainer.engine={engine}") for engine in engines]
    assert len({run.parent.name for run in runs}) == 1
    assert results(runs[0]) == results(runs[1]) == results(runs[2])
    assert "only CUDA has graphs" in (runs[2] / "log.txt").read_text()


@pytest.mark.slow
def test_one_failing_run_leaves_the_others_of_its_stack(losslab, monkeypatch):
    write = module._write_results

    def fails(files, *arguments, **options):
        if "mse" in str(files.model):
            raise ValueError("no results today")
        write(files, *arguments, **options)

    monkeypatch.setattr(module, "_write_results", fails)
    words = (*TINY, "loss=brier,mse,focal", "trainer.engine=stacked")
    result = losslab.call("train", "-m", *words)
    assert result.code == 1
    states = {run.parent.name.split("-")[0]: status(run) for run in losslab.runs()}
    assert states == {"brier": "done", "focal": "done", "mse": "failed"}


@pytest.mark.slow
def test_a_stack_that_is_killed_resumes_to_the_same_bits(losslab):
    words = (*TINY, *SWEEP, "trainer.engine=stacked", "trainer.epochs=40")
    losslab.sweep(*words, "name=whole")
    command = [sys.executable, "-m", "losslab", "train", "-m", *words, "name=killed"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(losslab.folder.glob("outputs/killed/*/*/checkpoint.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(status(run) == "running" for run in losslab.runs("killed"))
    losslab.sweep(*words, "name=killed")
    for one, other in zip(losslab.runs("whole"), losslab.runs("killed"), strict=True):
        assert results(one) == results(other)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("trainer.precision=bfloat16",), "precision bfloat16"),
        (("trainer.engine=fast",), "trainer.engine=fast; allowed are auto, eager, graph, stacked"),
        (("trainer.stack_size=0",), "trainer.stack_size=0; give a whole number ≥ 1"),
        (
            ("optimizer._target_=torch.optim.RMSprop", "~optimizer.nesterov", "~optimizer.fused"),
            "RMSprop",
        ),
    ],
)
def test_what_cannot_be_stacked_is_refused_before_the_first_run(losslab, words, says):
    result = losslab.call("train", "-m", *TINY, "trainer.engine=stacked", *words, "seed=0,1")
    assert (result.code, losslab.runs()) == (2, [])
    assert says in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ((), "stacked"),
        (("optimizer=adamw", "model=resnet20", "loss=map_laplace"), "stacked"),
        (("optimizer=nesterov", "model=whitened_cnn"), "stacked"),
        (("trainer.engine=eager",), "eager"),
        (("trainer.precision=bfloat16",), "graph"),
        (("optimizer._target_=torch.optim.NAdam",), "graph"),
        (("model._target_=my_model.Mine",), "graph"),
        (("loss._target_=my_loss.Mine",), "graph"),  # which may have parameters
        (("loss=map_gaussian", "loss.prior._target_=my_prior.Mine"), "graph"),
    ],
    ids=str,
)
def test_what_auto_means_for_a_sweep_on_cuda(words, engine):
    with Composer() as composer:
        config = without_hydra(composer.compose(words))
    assert with_engine(config, cuda=True).trainer.engine == engine
    assert with_engine(config, cuda=False).trainer.engine in ("auto", engine)
