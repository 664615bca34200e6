import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch

from losslab.data import cifar10, cifar100

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"


class OldPickler(pickle.Pickler):
    """Pickles dtypes as the numpy of Python 2 did, which today's numpy warns of."""

    def reducer_override(self, obj):
        if isinstance(obj, np.dtype):
            _, _, state = obj.__reduce__()
            return np.dtype, ("u1", 0, 1), state
        return NotImplemented


def pickled(value):
    buffer = io.BytesIO()
    OldPickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def tiny(monkeypatch):
    """A CIFAR-10 of ten images whose checksums count as the right ones."""
    from torchvision import datasets

    random = np.random.default_rng(0)
    names = ["data_batch_1", "data_batch_2", "test_batch"]
    pixels = {
        name: random.integers(0, 256, (count, 3072), dtype=np.uint8)
        for name, count in zip(names, (4, 2, 4), strict=True)
    }
    files = {
        name: pickled({"data": data, "labels": list(range(len(data)))})
        for name, data in pixels.items()
    }
    files["batches.meta"] = pickled({"label_names": ["airplane", "bird", "cat", "deer"]})
    archive = pack(files)
    checksums = [[name, md5(files[name])] for name in names]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", checksums[:2])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", checksums[2:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(files["batches.meta"])}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    return pixels, files, archive


def write(root, files):
    (root / FOLDER).mkdir()
    for name, content in files.items():
        (root / FOLDER / name).write_bytes(content)


@pytest.mark.parametrize("unpacked", [True, False])
def test_folder_or_archive_is_read_where_it_lies(tmp_path, tiny, unpacked):
    pixels, files, archive = tiny
    if unpacked:
        write(tmp_path, files)
    else:
        (tmp_path / ARCHIVE).write_bytes(archive)
    before = sorted(tmp_path.rglob("*"))
    source = cifar10(root=tmp_path, download=False)
    assert sorted(tmp_path.rglob("*")) == before
    train = np.concatenate([pixels["data_batch_1"], pixels["data_batch_2"]])
    np.testing.assert_array_equal(source.train_images.numpy(), train.reshape(-1, 3, 32, 32))
    assert source.train_labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert source.test_labels.dtype == torch.int64
    assert source.class_names == ("airplane", "bird", "cat", "deer")


def test_the_cache_spares_the_second_read(tmp_path, tiny):
    write(tmp_path, tiny[1])
    first = cifar10(root=tmp_path, cache_dir=tmp_path / "cache")
    again = cifar10(root=tmp_path, cache_dir=tmp_path / "cache")
    assert torch.equal(first.train_images, again.train_images)
    assert again.class_names == first.class_names


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_damaged_or_missing_file_is_named_and_never_unpickled(tmp_path, tiny, name):
    write(tmp_path, tiny[1])
    file = tmp_path / FOLDER / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"truncated or altered: .*{name}"):
        cifar10(root=tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match=f"truncated or altered: .*{name}"):
        cifar10(root=tmp_path)


def test_a_cut_archive_is_named(tmp_path, tiny):
    (tmp_path / ARCHIVE).write_bytes(tiny[2][:-5])
    with pytest.raises(ValueError, match=f"truncated or altered: .*{ARCHIVE}"):
        cifar10(root=tmp_path)


@pytest.mark.parametrize(
    ("source", "archive"), [(cifar10, ARCHIVE), (cifar100, "cifar-100-python.tar.gz")]
)
def test_missing_without_download(tmp_path, source, archive):
    with pytest.raises(ValueError, match="download=false; use data=mnist5k") as caught:
        source(root=tmp_path, download=False)
    assert f"put {archive} under {tmp_path}" in str(caught.value)


def test_download(tmp_path, tiny, served, monkeypatch):
    from torchvision import datasets

    (served.folder / ARCHIVE).write_bytes(tiny[2])
    monkeypatch.setattr(datasets.CIFAR10, "url", served.url + ARCHIVE)
    root = tmp_path / "root"
    assert len(cifar10(root=root).train_labels) == 6
    assert {path.name for path in root.iterdir()} == {FOLDER, ARCHIVE}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_download_that_fails_leaves_nothing(tmp_path, tiny, served, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets.CIFAR10, "url", served.url + ARCHIVE)
    with pytest.raises(ValueError, match=r"cifar10: the download failed \(.*404.*mnist5k"):
        cifar10(root=tmp_path / "root")
    assert not (tmp_path / "root").exists()
