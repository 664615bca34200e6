"""What a configuration may make, and where it may write."""

import json
import sys

import pytest

from bad import SYNTHETIC, check, synthetic
from losslab.experiment.target_allowlist import VARIABLE, check_name, is_custom_module
from running import TINY, status

LOSS = "~loss.label_smoothing loss._target_="


@pytest.mark.parametrize(
    "case",
    [
        synthetic(LOSS + "os.system +loss.command=true", "loss._target_=os.system", VARIABLE),
        synthetic(LOSS + "builtins.exec", "builtins.exec", "not on the allowlist"),
        synthetic(LOSS + "torch.load", "torch.load", "not on the allowlist"),
        synthetic(LOSS + "yaml.unsafe_load", "yaml.unsafe_load", "not on the allowlist"),
        synthetic(LOSS + "losslab.files.write_atomically", "write_atomically", "allowlist"),
        synthetic(LOSS + "losslab.training.save_checkpoint", "save_checkpoint", "allowlist"),
        synthetic(LOSS + "losslab.data.cache.cached", "cache.cached", "not on the allowlist"),
        # Names that begin well and lead astray.
        synthetic(LOSS + "torch.nn.modules.module.torch.hub.load", "hub.load", "allowlist"),
        synthetic(LOSS + "mine.os.system", "mine.os.system", "not on the allowlist"),
        synthetic("+loss.extra=[{_target_:os.system}]", "loss.extra[0]", "os.system"),
        synthetic("+loss.extra={a:{b:{_target_:mine.os.system}}}", "loss.extra.a.b", "os.system"),
        # Hydra's own node.
        synthetic("+hydra.callbacks.a._target_=os.system", "hydra.callbacks.a", "no effect"),
        synthetic(
            "+hydra.callbacks.a={b:[{_target_:os.system}]}", "hydra.callbacks.a", "no effect"
        ),
        synthetic("+loss.x={a:1} hydra.callbacks=${loss.x}", "hydra.callbacks", "no effect"),
        synthetic("hydra.launcher._target_=os.system", "hydra.launcher", "launcher=..."),
        synthetic("hydra.sweeper._target_=hydra_plugins.x.Y", "hydra.sweeper", "no effect"),
        synthetic("+hydra.job_logging.handlers.a.class=os.system", "job_logging", "log.txt"),
        synthetic("hydra/hydra_logging=hydra_debug", "hydra/hydra_logging", "log.txt"),
        synthetic("+hydra.job.env_set.LD_PRELOAD=a.so", "LD_PRELOAD", "in your shell"),
        synthetic("hydra.searchpath=[pkg://mine]", "pkg://mine", "--config-dir"),
        synthetic("-m hydra/launcher=basic", "hydra/launcher=basic", "launcher=..."),
        # Lines of a shell script.
        synthetic(
            "launcher=submitit_local launcher.options={comment:'a\x1brm'} -m seed=0,1",
            *("launcher.options", "one-line"),
        ),
        synthetic(
            "launcher=submitit_local launcher.options={output:x} -m seed=0,1",
            *("launcher.options.output", "leave out"),
        ),
        # Parts of torch that call what they are given.
        synthetic(LOSS + "torch.nn.utils.parametrize.cached", "parametrize.cached", "allowlist"),
        synthetic(LOSS + "torch.nn.Module.apply", "torch.nn.Module.apply", "allowlist"),
    ],
    ids=str,
)
def test_what_is_not_on_the_list_is_not_even_imported(losslab, monkeypatch, case):
    (losslab.folder / "mine.py").write_text("import os\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    check(losslab, *case)


# What a file may try that is sent as a loss; each of them alone writes `touched`.
STRANGE = {
    "env_set": {"hydra": {"job": {"env_set": {"HOME": "."}}}},
    "callback": {
        "hydra": {
            "callbacks": {
                "a": {
                    "_target_": "hydra.experimental.callbacks.Path.write_text",
                    "self": {"_target_": "pathlib.Path", "_args_": ["touched"]},
                    "data": "x",
                }
            }
        }
    },
    "job_logging": {
        "hydra": {
            "job_logging": {
                "version": 1,
                "handlers": {"a": {"class": "logging.FileHandler", "filename": "touched"}},
                "root": {"handlers": ["a"]},
            }
        }
    },
    "hydra_logging": {
        "hydra": {
            "hydra_logging": {
                "version": 1,
                "handlers": {"a": {"class": "logging.FileHandler", "filename": "touched"}},
                "root": {"handlers": ["a"]},
            }
        }
    },
}


@pytest.mark.parametrize("door", STRANGE)
def test_a_strangers_loss_file_sets_nothing_of_hydras(losslab, door):
    folder = losslab.folder / "theirs" / "loss"
    folder.mkdir(parents=True)
    loss = {"loss": {"_target_": "losslab.losses.CrossEntropy", "label_smoothing": 0.0}}
    (folder / "evil.yaml").write_text("# @package _global_\n" + json.dumps(loss | STRANGE[door]))
    tiny = ("-m", *TINY, "--config-dir", "theirs")
    for words in (("loss=evil",), ("loss=mse,evil",), ("loss=evil", "--help")):
        check(losslab, ("train", *tiny, *words), ("hydra.",))


def test_a_plugin_in_the_working_folder_is_not_imported(losslab, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (losslab.folder / "hydra_plugins").mkdir()
    (losslab.folder / "hydra_plugins" / "own_launcher.py").write_text(
        "from pathlib import Path\nPath('touched').touch()\n"
    )
    losslab.sweep("seed=0,1")
    assert not (losslab.folder / "touched").exists()


def test_a_module_of_ones_own_and_one_that_is_trusted(losslab, monkeypatch):
    assert not is_custom_module("yaml")
    with pytest.raises(ValueError, match=VARIABLE):
        check_name("yaml.Loader", "loss")
    monkeypatch.setenv(VARIABLE, "numpy, yaml")
    check_name("yaml.Loader", "loss")
    with pytest.raises(ValueError, match=VARIABLE):
        check_name("yamlx.Loader" if is_custom_module("yamlx") else "json.loads", "loss")
    assert not is_custom_module("own_package")
    (losslab.folder / "own_package").mkdir()
    (losslab.folder / "own_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(losslab.folder))
    assert is_custom_module("own_package")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a/./b", ".."])
def test_a_name_stays_inside(losslab, name):
    check(losslab, (*SYNTHETIC, f"name={name}"), (f"name={name}", "inside output_dir"))
    check(losslab, ("study", "identities", f"name={name}"), (f"name={name}",))


def test_a_link_that_leads_out_is_not_followed(losslab):
    (losslab.folder / "elsewhere").mkdir()
    (losslab.folder / "elsewhere" / "precious").write_text("mine")
    (losslab.folder / "outputs").mkdir()
    (losslab.folder / "outputs" / "link").symlink_to(losslab.folder / "elsewhere")
    check(losslab, (*SYNTHETIC, "name=link"), ("outputs/link", "symbolic link", "output_dir="))
    # Of a run's own files, links are replaced and not written through.
    losslab.train()
    (run,) = losslab.runs()
    (run / "log.txt").unlink()
    (run / "log.txt").symlink_to(losslab.folder / "elsewhere" / "precious")
    losslab.train("force=true")
    assert (losslab.folder / "elsewhere" / "precious").read_text() == "mine"
    assert status(run) == "done"


@pytest.mark.slow
def test_an_altered_result_is_named_and_made_again(losslab):
    run = losslab.finished()
    for name in ("summary.json", "model.safetensors", "predictions.safetensors"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:-3] + b"\0" * 3)
        check(losslab, ("train", *TINY), (str(run / name)[-30:], "force=true"))
        (run / name).write_bytes(content)
    (run / "model.safetensors").unlink()  # to save room
    assert "already finished" in losslab.train().out
    (run / "summary.json").write_text("{}")
    losslab.train("force=true")
    assert len((run / "summary.json").read_text()) > 100


def test_a_run_killed_between_its_last_files_is_ended_without_training(losslab):
    run = losslab.finished()
    before = (run / "manifest.json").read_bytes()
    from losslab.recording import Run

    directory = Run.at(run)
    kept = directory._read_status()["sha256"]
    directory._write_status({"status": "running", "ends_as": "done", "sha256": kept})
    directory.files.checkpoint.write_bytes(b"not even read")
    (run / ".summary.json.host.1-ab.tmp").touch()
    losslab.train()
    assert (status(run), directory.files.checkpoint.exists()) == ("done", False)
    assert (run / "manifest.json").read_bytes() == before
    assert not list(run.glob(".*"))
