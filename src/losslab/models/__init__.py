"""Models: images in, logits out, and nothing else."""

from losslab.models.cnn import DeepCNN, SmallCNN
from losslab.models.dense import MLP, Linear
from losslab.models.resnet20 import ResNet20

__all__ = ["MLP", "DeepCNN", "Linear", "ResNet20", "SmallCNN"]
