"""Kill anything, lose nothing: a sweep that is killed again and again ends as an undisturbed one."""

import os
import random
import signal
import sys

import pytest

from killing import command, sweep_contents, trains, wait_until
from running import TINY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and reads /proc"),
]

SEED = int(os.environ.get("LOSSLAB_KILL_SEED", "0"))
KILLS = int(os.environ.get("LOSSLAB_KILLS", "24"))
GRID = (
    *("train", "-m", *TINY, "launcher=joblib", "hydra.launcher.n_jobs=2"),
    *("loss=mse,cross_entropy", "seed=0,1,2", "trainer.epochs=60"),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with command(folder, *GRID) as sweep:
        assert sweep.wait() == 0, sweep.err
    whole = sweep_contents(folder / "outputs" / "runs")
    assert len(whole) == 6
    return whole


def test_kills_at_random_moments(tmp_path, undisturbed):
    chance = random.Random(SEED)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        grid = (*GRID, f"name=round{rounds}")
        finished = False
        while not finished:
            if kills == KILLS:
                with command(tmp_path, *grid) as sweep:
                    assert sweep.wait() == 0, sweep.err
                break
            finished = disturb(tmp_path, grid, chance)
            kills += not finished
        assert sweep_contents(tmp_path / "outputs" / f"round{rounds}") == undisturbed


def disturb(folder, grid, chance) -> bool:
    """Start a sweep and kill it, or a part of it; return whether it was finished before."""
    victim = chance.choices(("group", "command", "worker"), weights=(6, 2, 2))[0]
    in_training, delay = chance.random() < 0.8, chance.uniform(0, 0.5)
    with command(folder, *grid) as sweep:
        if in_training:
            wait_until(lambda: sweep.ended() or trains(folder / "outputs", sweep.started))
        try:
            wait_until(sweep.ended, delay)
        except AssertionError:
            pass  # as is meant
        workers = sweep.workers()
        if victim == "worker" and workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        else:
            sweep.send(signal.SIGKILL, group=victim == "group")
        code = sweep.wait()
        if code == 1:
            assert "a worker process was killed" in sweep.err
            assert "the same command goes on from here" in sweep.err
            assert "not finished: outputs/" in sweep.err
        else:
            assert code in (0, -signal.SIGKILL), sweep.err
        # Workers whose command was killed end by themselves.
        wait_until(sweep.is_gone, 10)
        return code == 0
