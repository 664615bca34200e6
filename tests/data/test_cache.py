import logging
import os
import threading

import pytest
import torch

from losslab.data import synthetic
from losslab.data.cache import cached, stamp

SOURCE = synthetic(num_train=20, num_test=10, image_shape=(1, 6, 6))


class Reader:
    def __init__(self):
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return SOURCE


def read(reader, folder, fingerprint="a"):
    return cached(reader, cache_dir=folder, name="synthetic", fingerprint=fingerprint)


def assert_same(source):
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(source, name), getattr(SOURCE, name))
    assert source.class_names == SOURCE.class_names
    assert source.name == "synthetic"


def test_the_second_read_comes_from_the_cache(tmp_path):
    reader = Reader()
    for _ in range(2):
        assert_same(read(reader, tmp_path / "new" / "folder"))
    assert reader.reads == 1


def test_another_fingerprint_is_other_data(tmp_path):
    reader = Reader()
    read(reader, tmp_path, "a")
    read(reader, tmp_path, "b")
    assert reader.reads == 2
    assert len(list(tmp_path.glob("synthetic-*.safetensors"))) == 2


def test_without_a_folder_nothing_is_kept():
    reader = Reader()
    read(reader, None)
    read(reader, None)
    assert reader.reads == 2


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lose_checksum(path):
    path.with_suffix(".sha256").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_bit,
        lose_checksum,
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.with_suffix(".sha256").write_text(""),
    ],
    ids=["bit", "checksum lost", "cut off", "empty", "checksum empty"],
)
def test_a_damaged_file_is_noticed_told_and_replaced(tmp_path, caplog, damage):
    reader = Reader()
    read(reader, tmp_path)
    damage(next(tmp_path.glob("*.safetensors")))
    with caplog.at_level(logging.WARNING):
        assert_same(read(reader, tmp_path))
    assert "is damaged" in caplog.text
    assert reader.reads == 2
    caplog.clear()
    assert_same(read(reader, tmp_path))
    assert reader.reads == 2
    assert not caplog.records


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert_same(read(Reader(), tmp_path / "file" / "cache"))
    assert "continuing without it" in caplog.text


def test_nothing_but_the_file_and_its_checksum_is_left(tmp_path):
    read(Reader(), tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".safetensors", ".sha256"]


def test_many_at_once(tmp_path):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(read(Reader(), tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for source in results:
        assert_same(source)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_stamp_changes_with_size_time_and_place(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    before = stamp([file])
    assert stamp([file]) == before
    os.utime(file, ns=(0, 0))
    touched = stamp([file])
    file.write_text("three")
    os.utime(file, ns=(0, 0))
    assert len({before, touched, stamp([file]), stamp([])}) == 4
