"""A run that starts from another run's weights: which one it is, how it starts, what it refuses."""

import shlex
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from losslab.experiment import Composer, load_model, train
from losslab.recording import Run
from losslab.study.session import Session, Template
from running import TINY, read, records, results, status

CNN = ("model=small_cnn", "model.width=4", "model.normalization=batch")
BARELY = ("trainer.steps=1", "optimizer.lr=1e-30")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One source for all tests."""
    return tmp_path_factory.mktemp("source")


@pytest.fixture
def source(losslab, kept):
    """A finished run, in the test's own folder, at a place with ``=`` in its name."""
    if not list(kept.iterdir()):
        run = losslab.run(*CNN, "trainer.epochs=1", "optimizer.lr=0.01", "seed=7")
        shutil.copytree(run, kept / run.name)
    place = losslab.folder / "from" / "lr=0.01"
    return shutil.copytree(kept, place) / "seed=7"


@pytest.fixture
def warm(source):
    return (*CNN, "loss=mse", "trainer.epochs=1", f"init_from={source}")


def refuses(losslab, *arguments: str, command: tuple[str, ...] = ("train",)) -> str:
    """The command must end with 2 and one line, and write nothing; return the line."""
    before = sorted(losslab.folder.rglob("*"))
    result = losslab.call(*command, *TINY, *arguments)
    assert result.code == 2
    # Where the check takes seconds, it says how far it is.
    assert all(line.startswith("checking ") for line in result.out.splitlines())
    assert sorted(losslab.folder.rglob("*")) == before
    (line,) = result.err.splitlines()
    return line


def test_it_starts_where_the_source_ended(losslab, source):
    run = losslab.run(*CNN, *BARELY, f"init_from={source}", "seed=3")
    ended, start = read(source / "summary.json"), records(run)[0]
    assert start["step"] == 0
    for name in ("accuracy", "nll", "brier", "ece"):
        assert start[f"val/{name}"] == ended[f"val/{name}"]
    weights, final = (load_file(path / "model.safetensors") for path in (source, run))
    for name, value in final.items():
        if "running" not in name and "num_batches" not in name:  # batch statistics move
            assert torch.equal(value, weights[name]), name
    fresh = losslab.run(*CNN, *BARELY, "seed=3")
    assert records(fresh)[0]["val/accuracy"] != start["val/accuracy"]


def test_diagnostics_get_those_weights_as_the_initial_ones(losslab, source, warm, monkeypatch):
    seen = {}
    runner = train.DiagnosticRunner

    def spied(*arguments, **options):
        made = runner(*arguments, **options)
        seen.update(made.initial)
        return made

    monkeypatch.setattr(train, "DiagnosticRunner", spied)
    losslab.train(*warm)
    weights = load_file(source / "model.safetensors")
    assert seen.keys() == weights.keys()
    assert all(torch.equal(seen[name], weights[name]) for name in weights)


@pytest.mark.slow
def test_twice_and_in_a_sweep_it_is_equal_to_the_bit(losslab, warm):
    first, second = losslab.run(*warm), losslab.run(*warm)
    assert results(first) == results(second)
    losslab.sweep(*warm, "seed=0,1")
    zero, one = losslab.runs()
    assert results(zero) == results(first)
    assert zero.parent == one.parent
    assert results(one)["model.safetensors"] != results(zero)["model.safetensors"]


@pytest.mark.slow
def test_each_seed_may_start_from_its_own(losslab, source):
    shutil.copytree(source, source.parent / "seed=8")
    weights = load_file(source.parent / "seed=8" / "model.safetensors")
    weights["output.bias"] += 1
    save_file(weights, source.parent / "seed=8" / "model.safetensors")
    Run.at(source.parent / "seed=8").finish("done")
    losslab.sweep(*CNN, *BARELY, f"init_from={source.parent}/seed=${{seed}}", "seed=7,8")
    for run in losslab.runs():
        start = load_file(source.parent / run.name / "model.safetensors")
        assert torch.equal(
            load_file(run / "model.safetensors")["output.bias"], start["output.bias"]
        )
    assert len(losslab.runs()) == 2
    # Two folders, as they start from different weights, and one row in TensorBoard's table.
    assert len({run.parent for run in losslab.runs()}) == 2
    assert len({session(run).group_name for run in losslab.runs()}) == 1
    losslab.sweep(*CNN, *BARELY, f"init_from={source}", "seed=9,10", "name=same")
    assert len({session(run).group_name for run in losslab.runs("same")}) == 1


@pytest.mark.slow
def test_the_weights_are_its_identity_and_their_place_is_not(losslab, source, warm):
    losslab.train(*warm)
    (run,) = losslab.runs()
    assert run.parent.name.startswith("mse-synthetic-warm-lr=")
    before = {path: path.read_bytes() for path in run.iterdir()}
    moved = source.rename(losslab.folder / "elsewhere")
    losslab.train(*warm[:-1], f"init_from={moved}")
    losslab.train(*warm[:-1], f"init_from={moved / 'model.safetensors'}")
    assert losslab.runs() == [run]
    assert {path: path.read_bytes() for path in run.iterdir()} == before

    weights = load_file(moved / "model.safetensors")
    weights["output.bias"][0] += 1e-3
    save_file(weights, moved / "model.safetensors")
    Run.at(moved).finish("done")
    losslab.train(*warm[:-1], f"init_from={moved}")
    losslab.train(*warm[:-1])
    assert len({path.parent for path in losslab.runs()}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("left", ["{}", "", '{"status": "done", "sha256"', None])
def test_weights_that_nothing_vouches_for(losslab, source, left):
    weights = load_file(source / "model.safetensors")
    weights["output.bias"][0] += 1
    save_file(weights, source / "model.safetensors")
    if left is None:
        (source / "status.json").unlink()
    else:
        (source / "status.json").write_text(left)
    for start in (source, source / "model.safetensors"):
        assert "status.json is missing" in refuses(losslab, *CNN, f"init_from={start}")
    with pytest.raises(ValueError, match=r"status\.json is missing or altered"):
        load_model(source)
    # Weights alone, without a run, are taken as they are.
    loose = losslab.folder / "loose.safetensors"
    shutil.copy(source / "model.safetensors", loose)
    losslab.train(*CNN, *BARELY, f"init_from={loose}")


@pytest.mark.slow
def test_a_finished_run_outlives_its_source(losslab, source, warm):
    losslab.train(*warm)
    (run,) = losslab.runs()
    shutil.rmtree(source)
    result = losslab.call("report", "outputs/runs")
    assert result.code == 0, result.err
    assert "1 done" in (run.parents[1] / "report.md").read_text()
    assert f"init_from={source} does not exist" in refuses(losslab, *warm)


def test_a_kept_configuration_with_other_weights_is_another_run(losslab, source, warm):
    losslab.train(*warm)
    (run,) = losslab.runs()
    text = (run / "config.yaml").read_text()
    checksum = text.split("init_sha256: ")[1].split()[0]
    (run / "config.yaml").write_text(text.replace(checksum, "f" * 64))
    assert "different configuration" in refuses(losslab, *warm)


class Stop(BaseException):
    """The process is gone."""


@pytest.mark.slow
def test_a_stopped_run_goes_on(losslab, warm, monkeypatch):
    many = (*warm, "trainer.epochs=3")
    undisturbed = losslab.run(*many)
    save = train.save_checkpoint

    def stopping(*arguments):
        save(*arguments)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(train, "save_checkpoint", stopping)
        with pytest.raises(Stop):
            losslab.call("train", *TINY, *many)
    (run,) = losslab.runs()
    assert status(run) == "running"
    losslab.train(*many)
    assert read(run / "manifest.json")["resumed_at_step"] == 12
    assert results(run) == results(undisturbed)
    assert records(run) == records(undisturbed)


def session(run):
    """Return what TensorBoard's table knows of a run."""
    start = EventAccumulator(str(run)).Reload().SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    return plugin_data_pb2.HParamsPluginData.FromString(
        start.plugin_data.content
    ).session_start_info


def test_tensorboards_table_has_no_column_for_it(losslab, warm):
    run = losslab.run(*warm)
    columns = session(run).hparams
    assert "optimizer.lr" in columns
    assert [name for name in columns if "init" in name] == []


def test_a_study_may_name_such_a_folder(losslab, source):
    overrides = ["data=synthetic", *CNN, f"init_from={source}"]
    with Composer() as composer:
        template = Template(Session(composer, "mine", [], None, ""), overrides)
        by_override, by_value = (
            template.run(values, 0) for values in ({}, {"init_from": str(source)})
        )
        for run in (by_override, by_value):
            again = shlex.split(run.command)[2:]  # after `losslab train`
            assert composer.compose(again).init_from == str(source)
    assert by_override == by_value


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.width=5", "has 'features.0.weight' of shape (4, 1, 5, 5), this run's model of (5,"),
        ("data.num_classes=3", "has 'output.weight' of shape (4, 32), this run's model of (3, 32)"),
        ("model.normalization=none", "has 'features.1.bias', which this run's model lacks"),
        ("data.digits=2", "has 'output.weight' of shape (4, 32), this run's model of (16, "),
        ("model.output_scale=3", "model.output_scale=3.0 changes random weights"),
        ("model.output_bias=3", "model.output_bias=3.0 changes random weights"),
    ],
)
def test_weights_that_do_not_fit(losslab, source, warm, change, says):
    assert says in refuses(losslab, *warm, change)


def test_weights_that_are_not_there_for_every_layer(losslab, source, warm):
    cold = losslab.run(*CNN, "model.normalization=none", *BARELY)
    line = refuses(losslab, *warm[:-1], f"init_from={cold}")
    assert "has no 'features.1.weight', which this run's model has" in line


@pytest.mark.slow
def test_damaged_weights(losslab, source, warm):
    file = source / "model.safetensors"
    whole = file.read_bytes()
    flipped = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])  # loads, with another weight
    for content in (flipped, whole[:-1], whole[:20], b"", b"\x80\x04pickle"):
        file.write_bytes(content)
        for place in (source, file):
            line = refuses(losslab, *warm[:-1], f"init_from={place}")
            assert f"{file} was cut off or altered since its run ended; put the original" in line
    (source / "status.json").write_text('{"status": "done"}')  # of a version without checksums
    line = refuses(losslab, *warm)
    assert f"init_from={source}: model.safetensors is cut off, altered or no safeten" in line
    file.write_bytes(whole)
    weights = load_file(file)
    weights["output.weight"][1, 2] = float("nan")
    save_file(weights, file)
    assert "'output.weight' is not finite" in refuses(losslab, *warm)
    file.unlink()
    assert f"init_from={source} has no model.safetensors" in refuses(losslab, *warm)


@pytest.mark.parametrize("value", ["3", "true", "nan", "0.5", "[a,b]", "{a: b}"])
def test_what_is_no_path(losslab, value):
    assert "give a finished run's directory or a file" in refuses(losslab, f"init_from={value}")


def test_one_of_a_sweep_that_is_not_there(losslab, warm):
    line = refuses(losslab, *warm[:-1], f"{warm[-1]},nowhere=1", command=("train", "-m"))
    assert "init_from=nowhere=1 does not exist" in line
