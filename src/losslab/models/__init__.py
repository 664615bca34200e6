"""Models: images in, logits out, and nothing else."""

from losslab.models.cnn import DeepCNN, ResNet20, SmallCNN
from losslab.models.dense import MLP, Linear
from losslab.models.whitened import WhitenedCNN

__all__ = ["MLP", "DeepCNN", "Linear", "ResNet20", "SmallCNN", "WhitenedCNN"]
