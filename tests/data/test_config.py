import inspect
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf

from losslab.data import Augmentation, load

CONF = Path(__file__).parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
# noise_kind is typed in addition: a key more would make other runs of all that are finished.
OPTIONS = set(inspect.signature(load).parameters) - {"arguments", "noise_kind"}


def config(name):
    return OmegaConf.load(CONF / f"{name}.yaml")


def test_all_sources_can_be_chosen():
    images = {"mnist5k", "mnist", "fashion_mnist", "cifar10", "cifar100"}
    assert {*NAMES} == {*images, "image_folder", "synthetic"}


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_an_argument_and_every_option_a_key(name):
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert (CONF / f"{name}.yaml").read_text().startswith("# ")
    assert get_method(content.pop("_target_")) is load
    source = content["source"]
    parameters = set(inspect.signature(get_method(source.pop("_target_"))).parameters)
    assert source.pop("_partial_") is True
    assert set(content) >= OPTIONS
    given = (set(content) - OPTIONS) | set(source)
    assert given == parameters


@pytest.mark.parametrize("name", NAMES)
def test_places_come_from_the_environment(name, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", "/cache")
    monkeypatch.setenv("LOSSLAB_DATA", "/data")
    node = config(name)
    assert node.get("cache_dir", "/cache") == "/cache"
    assert OmegaConf.is_missing(node, "root") or node.get("root", "/data") == "/data"
    monkeypatch.delenv("LOSSLAB_CACHE")
    assert config(name).get("cache_dir", "~/.cache/losslab") == "~/.cache/losslab"


def test_a_folder_of_images_is_known_by_its_place():
    node = config("image_folder")
    node.root = "/pictures"
    assert node.dataset == "/pictures"


@pytest.mark.parametrize("name", NAMES)
def test_only_the_cifars_are_augmented(name):
    node = config(name).augmentation
    expected = Augmentation(flip=True, padding=4) if name.startswith("cifar") else None
    assert (None if node is None else instantiate(node)) == expected


def test_hydra_builds_what_is_configured():
    node = OmegaConf.merge(config("synthetic"), {"label_noise": 0.25, "train_size": 40})
    dataset = instantiate(node)
    assert (len(dataset.train.labels), dataset.num_classes) == (40, 4)
    assert int((dataset.train.labels != dataset.train.clean_labels).sum()) == 10


def test_the_headline_sizes(mnist5k_cache):
    dataset = instantiate(OmegaConf.merge(config("mnist5k"), {"cache_dir": str(mnist5k_cache)}))
    sizes = [len(part.labels) for part in (dataset.train, dataset.val, dataset.test)]
    assert sizes == [3500, 500, 1000]
