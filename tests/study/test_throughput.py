"""The measures of the study ``throughput``, on runs that take no time."""

import sys

import pytest
from throughput.engines import engines
from throughput.loops import loops
from throughput.sweep import command, report, sweep
from throughput.target import cost
from throughput.template import template

import losslab as api
from throughput import median

TINY = ["data=synthetic", "model=linear", "trainer.epochs=1", "trainer.threads=1"]


def test_the_median_has_an_interval_of_order_statistics():
    nine = median([float(n) for n in range(9)], "example")
    assert (nine.value, nine.low, nine.high, nine.n) == (4.0, 1.0, 7.0, 9)
    three = median([3.0, 1.0, 2.0], "example")  # too few for that: mean 2, t of two degrees 4.303
    assert three.low == pytest.approx(2 - 4.30265 / 3**0.5, abs=1e-4)


def test_loops_account_for_all_of_a_run(losslab):
    found = loops({}, words=TINY, rounds=1)
    assert 0 < found.quantities["outside"].value < 1
    assert found.quantities["bare"].value > 0
    shares = [float(row[2].rstrip("%")) for row in found.tables[1].rows]
    assert sum(shares) == pytest.approx(100, abs=0.3)


@pytest.mark.slow
def test_engines_are_timed_on_a_cpu(losslab):
    found = engines({}, words=TINY, sizes=[1, 4], rounds=1)
    assert {"stacked_1", "stacked_4", "recorded_4"} <= found.quantities.keys()
    assert all(quantity.value > 0 for quantity in found.quantities.values())


@pytest.mark.slow
def test_commands_are_timed(losslab):
    assert sweep({}, words=[*TINY[:3], "seed=0,1"], rounds=1).quantities["speedup"].value > 0
    found = command({}, words=["train", *TINY], rounds=1).quantities
    assert 0 < found["first"].value <= found["seconds"].value
    assert report({}, runs=20, rounds=1).quantities["seconds"].value > 0


SWEEP_ELSEWHERE = """import pathlib, sys
assert sys.argv[1:3] == ["-m", "rate=1,2"]
out = pathlib.Path(sys.argv[-1].removeprefix("paths.log_dir="))
for run in "01":
    (out / run).mkdir()
    (out / run / "metrics.csv").write_text("epoch,test/acc\\n0,\\n1,0.5\\n")
"""


@pytest.mark.slow
def test_a_sweep_of_another_project(losslab):
    asked = {"commit": "1fb5405", "words": [*TINY[:3], "seed=0,1"], "options": ["rate=1,2"]}
    asked |= {"checkout": "elsewhere", "rounds": 1}
    (table,) = template({}, **asked).tables
    assert table.rows == [["not measured", "no elsewhere/.venv"]]
    place = losslab.folder / "elsewhere"
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (place / "src").mkdir()
    (place / "src" / "train.py").write_text(SWEEP_ELSEWHERE)
    found = template({}, **asked)
    assert found.quantities["speedup"].value > 0
    assert [row[1] for row in found.tables[0].rows] == ["2", "2"]
    assert found.tables[0].rows[1][3] == "50.0%, 50.0%"


def test_the_operations_of_a_linear_network(losslab):
    # Forward 2·64·256·4 for a batch; the weights' gradient as many; images need none.
    run = api.train(*TINY, "trainer.epochs=3", "optimizer.lr=0.01")
    found = cost({"linear": [run]}, at_least=0.5)
    images = float(found.tables[1].rows[0][3].replace(",", ""))
    assert float(found.tables[1].rows[0][4]) == pytest.approx(images * 4 * 256 * 4 / 1e12, abs=0.01)
