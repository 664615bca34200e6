"""The private names of Hydra, against the version that is installed."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from losslab.experiment import Composer
from losslab.experiment.hydra_private import add_folders, apply_overrides, flags, import_target


def test_they_do_what_they_are_needed_for(tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("a: 1\n")
    with Composer() as composer:
        assert "mine" not in composer.loader.get_group_options("loss")
        add_folders(composer.loader, [("test", tmp_path)])
        assert {"mine", "mse"} <= {*composer.loader.get_group_options("loss")}
        config = OmegaConf.create({"optimizer": {"lr": 0.1}})
        apply_overrides(composer.parse(["optimizer.lr=0.3"]), config)
    assert config.optimizer.lr == 0.3
    given = flags().parse_args(["-m", "seed=0,1", "--config-dir", "mine"])
    assert (given.multirun, given.overrides, given.config_dir) == (True, ["seed=0,1"], "mine")


def test_what_cannot_be_imported_is_an_error_and_logs_none(caplog):
    assert import_target("pathlib.Path") is Path
    with pytest.raises(ImportError):
        import_target("pathlib.Pth")
    assert caplog.records == []
