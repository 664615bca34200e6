"""Whatever lies in a file that losslab reads back: the right value, or one clear ValueError."""

import gzip
import json
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslab.data import synthetic
from losslab.data.cache import cached
from losslab.data.mnist import FILES, MNIST, _content
from losslab.experiment.warm_start import checksum, warm_start
from losslab.files import read_json
from losslab.recording import Recorder, Run, check_marks, read_predictions, read_records
from losslab.report.claims_page import claims_page
from losslab.report.measurement import load_evidence
from losslab.report.plan import load_plan
from losslab.report.runs import load_runs
from losslab.report.selectors import number
from losslab.training import load_checkpoint, save_checkpoint
from report.factory import tiny_plan, write_run

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
HOSTILE = [
    *(b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"\0" * 64, b"9" * 10_000, b"1e999"),
    *(b"a: &a [1]\nb: *a\n", b"!!timestamp x", b"!!bool x", b"? [a]\n: 1", b"&a [*a]"),
    b"!!python/object/apply:os.system ['true']",
    b"".join(b"x%d: &x%d [%s]\n" % (i, i, b",".join([b"*x%d" % (i - 1)] * 9)) for i in range(1, 9)),
]


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Return other content: random, cut off, with flipped bits, or with a value replaced."""
    kind = draw(st.sampled_from(["random", "cut", "bit", "value", "hostile"]))
    if kind == "random":
        return draw(st.binary(max_size=200))
    if kind == "hostile":
        return draw(st.sampled_from(HOSTILE))
    if kind == "cut":
        return content[: draw(st.integers(0, max(len(content) - 1, 0)))]
    if kind == "value":
        try:
            value = json.loads(content)
        except ValueError:
            return draw(JSON.map(lambda v: json.dumps(v).encode()))
        return json.dumps(replaced(value, draw)).encode()
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        changed[draw(st.integers(0, len(changed) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def replaced(value, draw):
    """Return a JSON value with one of its parts replaced by something else."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    inside = list(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(inside))
    copy = value.copy()
    copy[key] = replaced(value[key], draw)
    return copy


def attempt(read):
    """Return what a reader gives, or ``None`` where it refuses in one line."""
    try:
        return read()
    except ValueError as error:
        refusal = error
    assert (type(refusal), len(str(refusal).splitlines())) == (ValueError, 1)
    return None


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with all its files, and checksums of them."""
    path = write_run(tmp_path_factory.mktemp("whole"), "mse-0a/seed=0")
    (path / "curves.jsonl").write_text('{"step": 3, "why/a": {"x": [1.0]}}\n')
    shutil.copy(path / "predictions.safetensors", path / "model.safetensors")
    Run.at(path).finish("done")
    return path


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "mse-0a" / "seed=0"))


NAMES = (
    *("config.yaml", "manifest.json", "summary.json", "status.json"),
    *("metrics.jsonl", "curves.jsonl", "model.safetensors", "predictions.safetensors"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sealed", [True, False], ids=["with checksums", "without"])
@QUICK
@given(data=st.data())
def test_a_finished_run(run, copy, name, sealed, data):
    content = (run / name).read_bytes()
    other = data.draw(damaged(content))
    shutil.copytree(run, copy, dirs_exist_ok=True)
    if not sealed and name != "status.json":
        (copy / "status.json").write_text('{"status": "done"}')
    (copy / name).write_bytes(other)
    directory = Run.at(copy)
    for seen in (directory.status, directory.ends_as):
        assert seen in (None, "done", "running", "failed", "diverged")
    (loaded,) = load_runs(copy.parents[1])
    if sealed and other != content and name != "status.json":
        assert directory.altered == name
        assert (loaded.status, name in loaded.reason) == ("damaged", True)
    attempt(lambda: read_predictions(loaded.files.predictions, "val"))
    attempt(lambda: number(loaded, "test/accuracy"))
    for file in (directory.files.metrics, directory.files.curves):
        assert all(type(record["step"]) is int for record in read_records(file))
    attempt(lambda: read_json(copy / name))


def test_a_status_that_was_altered_is_no_status(copy):
    content = (copy / "status.json").read_text()
    (copy / "status.json").write_text(content.replace('"status": "done"', '"status": "running"'))
    assert Run.at(copy).status is None
    (loaded,) = load_runs(copy.parents[1])
    assert (loaded.status, loaded.reason) == ("damaged", "status.json was altered")


@QUICK
@given(data=st.data())
def test_a_checkpoint(tmp_path, data):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 3, "model": {"a": torch.ones(3)}})
    content = path.read_bytes()
    other = data.draw(damaged(content))
    path.write_bytes(other)
    state = attempt(lambda: load_checkpoint(path))
    assert (state is not None) == (other == content)


@QUICK
@given(data=st.data())
def test_weights_to_start_from(run, tmp_path, data):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(data.draw(damaged((run / "model.safetensors").read_bytes())))
    attempt(lambda: checksum(str(file)))
    attempt(lambda: warm_start(torch.nn.Linear(2, 2), str(file)))


@QUICK
@given(data=st.data(), which=st.sampled_from([".safetensors", ".sha256"]))
def test_a_cache_is_right_or_made_again(tmp_path, data, which):
    source = synthetic(num_train=8, num_test=4, image_shape=(1, 4, 4))
    folder = Path(tempfile.mkdtemp(dir=tmp_path))  # what one example left is none of the next

    def read():
        return cached(lambda: source, cache_dir=folder, name="synthetic", fingerprint="")

    read()
    (file,) = folder.glob(f"*{which}")
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    assert torch.equal(read().train_images, source.train_images)


@QUICK
@given(data=st.data(), name=st.sampled_from(["metrics.jsonl", "curves.jsonl"]))
def test_records_that_go_with_a_checkpoint(tmp_path, monkeypatch, data, name):
    directory = Run.at(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # so that the files are alike
    recorder = Recorder(directory)
    for step in (1, 2):
        recorder.record({"a/b": 0.5}, step=step, examples=1, epoch=1.0, curves={"c": {"x": [1.0]}})
    marks = recorder.marks()
    recorder.close(success=True)
    content = (tmp_path / name).read_bytes()
    other = data.draw(damaged(content))
    (tmp_path / name).write_bytes(other)
    attempt(lambda: check_marks(directory, data.draw(JSON)))
    if not other.startswith(content):
        with pytest.raises(ValueError, match=name):
            check_marks(directory, marks)


@QUICK
@given(data=st.data())
def test_a_digit_file(tmp_path, data):
    file = tmp_path / data.draw(st.sampled_from(["file", "file.gz"]))
    whole = gzip.compress(b"\0" * 100, mtime=0)
    file.write_bytes(data.draw(damaged(whole)))
    sha256 = MNIST.sha256[FILES.index("t10k-labels-idx1-ubyte")]
    assert attempt(lambda: _content(file, sha256)) is None


EVIDENCE = {
    **{"study": "a", "title": "t", "question": "q", "command": "c", "manifest": {}},
    **{"claims": [], "runs": [], "measurements": {}},
}


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("study.json", tiny_plan(), load_plan),
        ("evidence.json", EVIDENCE, load_evidence),
        (
            "a/results.json",
            json.loads(Path(__file__).parents[1].joinpath(
                "experiments/calibration/results.json").read_text()),
            claims_page,
        ),
    ],
    ids=["plan", "evidence", "results"],
)  # fmt: skip
@QUICK
@given(data=st.data())
def test_what_a_study_wrote(tmp_path, name, content, read, data):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(damaged(json.dumps(content).encode())))
    attempt(lambda: read(tmp_path))
