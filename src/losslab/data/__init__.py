"""Images in memory: sources, splits, label noise and batches."""

from losslab.data.augment import Augmentation
from losslab.data.batches import BatchLoader
from losslab.data.cifar import cifar10, cifar100
from losslab.data.dataset import build, load
from losslab.data.image_folder import image_folder
from losslab.data.mnist import fashion_mnist, mnist
from losslab.data.mnist5k import mnist5k
from losslab.data.parts import Dataset, Part
from losslab.data.source import Source
from losslab.data.synthetic import synthetic

__all__ = [
    "Augmentation",
    "BatchLoader",
    "Dataset",
    "Part",
    "Source",
    "build",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "image_folder",
    "load",
    "mnist",
    "mnist5k",
    "synthetic",
]
