import hashlib

import pytest
import torch

from losslab.data import mnist5k


@pytest.fixture(scope="module")
def source(mnist5k_cache):
    first = mnist5k(cache_dir=mnist5k_cache)
    again = mnist5k(cache_dir=mnist5k_cache)
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.test_labels, again.test_labels)
    return again


def test_sizes_and_balance(source):
    assert source.train_images.shape == (4000, 1, 28, 28)
    assert source.test_images.shape == (1000, 1, 28, 28)
    assert source.train_labels.bincount().tolist() == [400] * 10
    assert source.test_labels.bincount().tolist() == [100] * 10


def test_the_test_part_never_changes(source):
    digest = hashlib.sha256(source.test_images.numpy().tobytes()).hexdigest()
    assert digest == "4510fa8df32d6e3a181832516afa9b6429bc9c716f18527a00b7fe952df1e247"


def test_the_parts_share_no_image(source):
    train, test = (
        {image.numpy().tobytes() for image in images}
        for images in (source.train_images, source.test_images)
    )
    assert not train & test
