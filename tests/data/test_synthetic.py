import pytest
import torch

from losslab.data import synthetic


def test_it_is_a_function_of_its_arguments():
    assert torch.equal(synthetic().train_images, synthetic().train_images)
    assert not torch.equal(synthetic().train_images, synthetic(seed=1).train_images)
    assert not torch.equal(synthetic().train_images[:256], synthetic().test_images)


def test_it_can_be_learned():
    source = synthetic(num_train=400, num_test=200, num_classes=5)
    means = torch.stack(
        [source.train_images[source.train_labels == k].double().mean(dim=0) for k in range(5)]
    )
    distances = torch.cdist(source.test_images.double().flatten(1), means.flatten(1))
    assert (distances.argmin(dim=1) == source.test_labels).double().mean() > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "num_classes=1"),
        ({"num_train": 3}, "num_train=3"),
        ({"num_test": 0}, "num_test=0"),
        ({"image_shape": (8, 8)}, r"image_shape=\(8, 8\)"),
        ({"image_shape": (1, 0, 8)}, r"image_shape=\(1, 0, 8\)"),
        ({"noise": -1.0}, "noise=-1.0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic(**arguments)
