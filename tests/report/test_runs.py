import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from losslab import report
from losslab.files import sealed
from losslab.recording import read_predictions
from losslab.report.runs import load_runs, runs_table
from losslab.report.selectors import number
from report.factory import EXAMPLES, write_run


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def replace(path: Path, make) -> None:
    path.unlink()
    make(path)


def predict(run: Path, shape: tuple[int, ...], labels: list[float]) -> None:
    tensors = {"test/logits": np.zeros(shape, np.float32), "test/labels": np.array(labels)}
    save_file(tensors, run / "predictions.safetensors")


def holes(path: Path) -> None:
    """Say that there are 2^30 examples, in a file of a few hundred bytes on the disk."""
    rows = 2**30
    about = {
        "test/logits": {"dtype": "F32", "shape": [rows, 4], "data_offsets": [0, 16 * rows]},
        "test/labels": {"dtype": "F32", "shape": [rows], "data_offsets": [16 * rows, 20 * rows]},
    }
    header = json.dumps(about).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + 20 * rows)


NAMES = (
    *("status.json", "config.yaml", "manifest.json", "metrics.jsonl", "summary.json"),
    "predictions.safetensors",
)
DAMAGES = {
    "no status": (lambda run: (run / "status.json").unlink(), "status.json is missing"),
    "half a status": (lambda run: (run / "status.json").write_text('{"sta'), "Unterminated"),
    "odd status": (lambda run: (run / "status.json").write_text('{"status": "ok"}'), "'ok'"),
    "a sealed status that was changed": (
        lambda run: (run / "status.json").write_text(
            json.dumps(sealed({"status": "diverged"}) | {"status": "done"})
        ),
        "status.json was altered",
    ),
    "no summary": (lambda run: (run / "summary.json").unlink(), "summary.json is missing"),
    "a list": (lambda run: (run / "summary.json").write_text("[]"), "does not hold a JSON object"),
    "no config": (lambda run: (run / "config.yaml").unlink(), "config.yaml is missing"),
    "odd config": (lambda run: (run / "config.yaml").write_text("a: [1"), "while parsing"),
    "cut predictions": (lambda run: truncate(run / "predictions.safetensors"), "cannot be read"),
    "cut metrics": (lambda run: truncate(run / "metrics.jsonl"), "half a record"),
    **{
        f"a pipe as {name}": (
            lambda run, name=name: replace(run / name, os.mkfifo),
            "not a regular",
        )
        for name in NAMES
    },
    **{
        f"an endless {name}": (lambda run, name=name: os.truncate(run / name, 2**40), "bytes")
        for name in NAMES
    },
    **{
        f"a folder as {name}": (lambda run, name=name: replace(run / name, os.mkdir), "directory")
        for name in NAMES
    },
    **{
        f"a deep config of {text}": (
            lambda run, text=text: (run / "config.yaml").write_text(text * 100_000),
            "100 levels",
        )
        for text in ("[", "{", "- ")
    },
    "a config that grows": (
        lambda run: (run / "config.yaml").write_text("a: &a [x, x]\nb: [*a, *a]\n"),
        "aliases",
    ),
    "a config of dates": (
        lambda run: (run / "config.yaml").write_text("loss: 2020-01-01\n"),
        "that a configuration cannot have",
    ),
    "deep JSON": (lambda run: (run / "summary.json").write_text("[" * 10**6), "recursion"),
    **{
        f"{tag}={value}": (
            lambda run, tag=tag, value=value: (run / "metrics.jsonl").write_text(
                f'{{"step": 1, "val/accuracy": 0.5, "{tag}": {value}}}\n'
            ),
            f"says {tag}=",
        )
        for tag, value in (
            *(("examples", "-1e300"), ("examples", "1e300"), ("examples", "NaN")),
            *(("step", "-1"), ("wall_s", "1e200"), ("epoch", "true"), ("examples", '"x"')),
            *(("val/nll", "[1]"), ("val/nll", "null"), ("val/nll", "9" * 400)),
        )
    },
    "a summary of texts": (
        lambda run: (run / "summary.json").write_text('{"test/accuracy": "0.9"}'),
        "says test/accuracy=0.9",
    ),
    "labels beyond the classes": (lambda run: predict(run, (2, 3), [0, 3]), "beyond its 3"),
    "labels that are no numbers": (lambda run: predict(run, (2, 3), [0, np.nan]), "beyond its 3"),
    "fewer labels": (lambda run: predict(run, (2, 3), [0]), "labels [1]"),
    "flat logits": (lambda run: predict(run, (2,), [0, 1]), "logits [2]"),
    "predictions with holes": (lambda run: holes(run / "predictions.safetensors"), "bytes"),
    "an endless header": (
        lambda run: (run / "predictions.safetensors").write_bytes(b"\xff" * 7 + b"\x0f{}"),
        "cannot be read",
    ),
    "odd metrics": (lambda run: (run / "metrics.jsonl").write_text('"val/\n'), "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_with_its_reason(tmp_path, damage):
    spoil, reason = DAMAGES[damage]
    spoil(write_run(tmp_path, "mse-0a/seed=0"))
    write_run(tmp_path, "mse-0a/seed=1")
    damaged, whole = load_runs(tmp_path)
    assert (damaged.status, damaged.finished) == ("damaged", False)
    assert reason in damaged.reason
    assert whole.status == "done"


def test_a_report_names_all_that_are_damaged(tmp_path):
    for seed, (spoil, _) in enumerate(DAMAGES.values()):
        spoil(write_run(tmp_path, f"mse-0a/seed={seed}"))
    write_run(tmp_path, f"mse-0a/seed={len(DAMAGES)}")
    _, results, *_ = report.build(tmp_path)
    census = json.loads(results.read_text("utf-8"))["runs"]
    assert (len(census["damaged"]), census["done"]) == (len(DAMAGES), 1)
    text = (tmp_path / "report.md").read_text("utf-8")
    for seed in range(len(DAMAGES)):
        assert f"mse-0a/seed={seed}: " in text


def test_a_finished_run_is_read_whole(tmp_path):
    write_run(tmp_path, "mse-0a/seed=3", accuracy=0.9, config={"optimizer": {"lr": 0.1}})
    (run,) = load_runs(tmp_path)
    assert (run.name, run.group, run.seed, run.status) == ("mse-0a/seed=3", "mse-0a", 3, "done")
    assert run.config["optimizer"]["lr"] == 0.1
    assert number(run, "val/accuracy") == 0.9
    assert number(run, "val/nll") is None
    assert [record["epoch"] for record in run.evaluations] == [1, 2, 3]


def test_runs_are_sorted_by_group_then_seed_as_a_number(tmp_path):
    for name in ("b/seed=2", "a/seed=10", "a/seed=9"):
        write_run(tmp_path, name)
    assert [run.name for run in load_runs(tmp_path)] == ["a/seed=9", "a/seed=10", "b/seed=2"]


def test_a_run_that_stopped_anywhere_is_not_damaged(tmp_path):
    run = tmp_path / "mse-0a" / "seed=0"
    run.mkdir(parents=True)
    (run / "status.json").write_text('{"status": "running"}')
    assert [found.status for found in load_runs(tmp_path)] == ["running"]


def test_a_failed_run_says_why_in_one_line(tmp_path):
    error = "Traceback (most recent call last):\n  File x\nRuntimeError: out of memory\n"
    write_run(tmp_path, "mse-0a/seed=0", status="failed", error=error)
    (run,) = load_runs(tmp_path)
    assert (run.status, run.reason) == ("failed", "RuntimeError: out of memory")


def test_a_number_that_is_not_finite_is_absent(tmp_path):
    path = write_run(tmp_path, "mse-0a/seed=0", status="diverged")
    (path / "summary.json").write_text('{"val/nll": NaN, "test/accuracy": 0.1}')
    (run,) = load_runs(tmp_path)
    assert run.summary == {"test/accuracy": 0.1}


def test_a_diverged_run_keeps_its_last_accuracy(tmp_path):
    path = write_run(tmp_path, "mse-0a/seed=0", status="diverged", curve=(0.5, 0.4), accuracy=None)
    (path / "summary.json").write_text("{}")
    (run,) = load_runs(tmp_path)
    assert number(run, "val/accuracy") == 0.4


def test_predictions_are_read_where_they_are_stored(tmp_path):
    logits, labels = np.eye(3, dtype=np.float32)[[0, 1, 1]], np.array([0, 1, 2])
    write_run(tmp_path, "mse-0a/seed=0", logits=logits, labels=labels)
    write_run(tmp_path, "mse-0a/seed=1", predictions=False)
    with_predictions, without = load_runs(tmp_path)
    found = read_predictions(with_predictions.files.predictions, "test")
    assert [part.tolist() for part in found] == [logits.tolist(), labels.tolist()]
    assert read_predictions(with_predictions.files.predictions, "train") is None
    assert read_predictions(without.files.predictions, "test") is None


@pytest.mark.parametrize("part", [".", "mse-0a", "mse-0a/seed=0"])
def test_a_run_keeps_its_name_whether_all_or_a_part_is_read(tmp_path, part):
    write_run(tmp_path, "mse-0a/seed=0")
    (run,) = load_runs(tmp_path / part)
    assert (run.name, run.group) == ("mse-0a/seed=0", "mse-0a")
    assert len(read_predictions(run.files.predictions, "val")[1]) == EXAMPLES


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="is not a folder; give one that holds runs"):
        load_runs(tmp_path / "nowhere")


def test_a_record_without_validation_is_not_read(tmp_path):
    path = write_run(tmp_path, "mse-0a/seed=0")
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 99, "train/objective": 1.0}) + "\n")
    (run,) = load_runs(tmp_path)
    assert len(run.evaluations) == 3


def test_runs_that_are_spread_are_found_under_their_own_names(tmp_path):
    for folder in ("hash=3f/mse-1/seed=0", "hash=3f/mse-1/hash=a0/seed=7", "mse-2/seed=0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "status.json").write_text('{"status": "running"}')
    (tmp_path / "mse-2" / "seed=1").mkdir()  # not begun
    expected = ["mse-1/seed=0", "mse-1/seed=7", "mse-2/seed=0"]
    assert [run.name for run in load_runs(tmp_path)] == expected
    assert [run.name for run in load_runs(tmp_path / "hash=3f" / "mse-1")] == expected[:2]
    assert [run.name for run in load_runs(tmp_path / "hash=3f" / "mse-1" / "seed=0")] == expected[
        :1
    ]


def test_the_table_has_a_row_a_run_with_what_was_varied_and_its_metrics(tmp_path):
    for seed, rate in ((0, 0.1), (1, 0.1), (0, 0.3)):
        config = {"loss": {"_target_": "x"}, "optimizer": {"lr": rate}, "seed": seed}
        name = f"mse-lr={rate:g}-0a/seed={seed}"
        write_run(tmp_path, name, accuracy=rate, predictions=False, config=config)
    write_run(tmp_path, "mse-lr=0.3-0a/seed=1", status="failed", config=config)
    table = runs_table(load_runs(tmp_path))
    assert list(table.columns[:5]) == ["name", "group", "loss", "seed", "status"]
    assert table["optimizer.lr"].tolist() == [0.1, 0.1, 0.3, 0.3]
    means = table.groupby("optimizer.lr")["val/accuracy"].mean()
    assert means.to_dict() == {0.1: 0.1, 0.3: 0.3}
    assert np.isnan(table["val/accuracy"].iloc[-1])
    assert runs_table([]).empty
