import gzip
import hashlib
import importlib
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from losslab.data import fashion_mnist, mnist

# The package's attribute of this name is the function.
mnist_module = importlib.import_module("losslab.data.mnist")

REAL_ROOT = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
NAMES = mnist_module.FILES


def idx(array):
    """An array in the format of MNIST's files."""
    magic = struct.pack(">HBB", 0, 8, array.ndim)
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    labels = [np.arange(count) % 10 for count in (40, 20)]
    images = [random.integers(0, 256, (count, 28, 28)) for count in (40, 20)]
    return dict(zip(NAMES, (images[0], labels[0], images[1], labels[1]), strict=True))


@pytest.fixture
def contents(arrays, monkeypatch):
    """The four files of a tiny MNIST, whose checksums count as the right ones."""
    contents = {name: idx(array) for name, array in arrays.items()}
    sha256 = tuple(hashlib.sha256(content).hexdigest() for content in contents.values())
    monkeypatch.setattr(mnist_module, "MNIST", replace(mnist_module.MNIST, sha256=sha256))
    return contents


def write(folder, contents, *, compressed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        file = folder / (f"{name}.gz" if compressed else name)
        file.write_bytes(gzip.compress(content) if compressed else content)


@pytest.mark.parametrize("place", ["MNIST/raw", "."])
@pytest.mark.parametrize("compressed", [True, False])
def test_files_are_read_where_they_lie_and_nothing_is_written(
    tmp_path, contents, arrays, place, compressed
):
    write(tmp_path / place, contents, compressed=compressed)
    before = sorted(tmp_path.rglob("*"))
    source = mnist(root=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert source.train_images.shape == (40, 1, 28, 28)
    for name, values in zip(
        NAMES,
        (source.train_images, source.train_labels, source.test_images, source.test_labels),
        strict=True,
    ):
        np.testing.assert_array_equal(values.squeeze().numpy(), arrays[name])
    assert source.class_names[9] == "9"


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_is_named(tmp_path, contents, damage, compressed):
    write(tmp_path, contents, compressed=compressed)
    cache = tmp_path / "cache"
    mnist(root=tmp_path, cache_dir=cache)
    file = tmp_path / ("t10k-images-idx3-ubyte" + (".gz" if compressed else ""))
    damage(file)
    # Also when the right content was read, and cached, before.
    with pytest.raises(ValueError, match="truncated or altered") as caught:
        mnist(root=tmp_path, cache_dir=cache)
    assert str(file) in str(caught.value)
    assert "data=mnist5k" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_small_archive_of_many_zeros_is_not_unpacked(tmp_path, contents):
    write(tmp_path, contents, compressed=True)
    file = tmp_path / f"{NAMES[0]}.gz"
    with gzip.open(file, "wb", compresslevel=1) as packed:
        for _ in range(300):
            packed.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="truncated or altered"):
        mnist(root=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_missing_files_without_download(tmp_path, contents):
    write(tmp_path / "MNIST/raw", contents, compressed=True)
    (tmp_path / "MNIST/raw" / f"{NAMES[2]}.gz").unlink()
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz is not under") as caught:
        mnist(root=tmp_path, download=False)
    assert "use data=mnist5k (needs no download)" in str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)


@pytest.fixture
def mirrored(served, contents, monkeypatch):
    """torchvision's MNIST with its address and checksums turned to the local server."""
    from torchvision import datasets

    write(served.folder, contents, compressed=True)
    resources = [
        (file.name, hashlib.md5(file.read_bytes()).hexdigest())
        for file in sorted(served.folder.iterdir())
    ]
    monkeypatch.setattr(datasets.MNIST, "mirrors", [served.url])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return served


def test_download(tmp_path, mirrored, capfd):
    root = tmp_path / "root"
    source = mnist(root=root)
    assert len(source.train_labels) == 40
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    assert {f"{name}.gz" for name in NAMES} <= {path.name for path in root.glob("MNIST/raw/*")}
    assert capfd.readouterr().err == ""
    # The second time the files are there.
    for file in mirrored.folder.iterdir():
        file.unlink()
    assert len(mnist(root=root).test_labels) == 20


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    "damage", [cut, lambda file: file.unlink()], ids=["another file", "no such file"]
)
def test_a_download_that_fails_leaves_nothing(tmp_path, mirrored, damage):
    damage(mirrored.folder / f"{NAMES[0]}.gz")
    root = tmp_path / "root"
    with pytest.raises(ValueError, match=r"mnist: the download failed \(Error") as caught:
        mnist(root=root)
    assert "use data=mnist5k (needs no download)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not root.exists()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_that_is_not_there(tmp_path, mirrored, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ValueError, match="mnist: the download failed"):
        mnist(root=tmp_path / "root")


def test_a_root_that_cannot_be_made(tmp_path, contents):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="mnist: the download failed"):
        mnist(root=tmp_path / "file" / "root")


@pytest.mark.skipif(not REAL_ROOT.is_dir(), reason=f"no MNIST in {REAL_ROOT}")
def test_real_mnist():
    source = mnist(root=REAL_ROOT, download=False)
    assert source.train_images.shape == (60_000, 1, 28, 28)
    assert source.test_images.shape == (10_000, 1, 28, 28)
    assert source.train_labels.bincount().tolist()[:3] == [5923, 6742, 5958]
    # The mean that everybody's normalisation of MNIST uses.
    assert source.train_images.double().mean() / 255 == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.skipif(not DEBIAN_FASHION.is_dir(), reason=f"no Fashion-MNIST in {DEBIAN_FASHION}")
def test_real_fashion_mnist_in_another_compression():
    source = fashion_mnist(root=DEBIAN_FASHION, download=False)
    assert source.train_labels.bincount().tolist() == [6000] * 10
    assert source.class_names[source.train_labels[0]] == "Ankle boot"
    assert source.train_images.double().mean() / 255 == pytest.approx(0.2860, abs=5e-5)
