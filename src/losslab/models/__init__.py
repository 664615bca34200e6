"""Models: pictures in, logits out, and nothing else."""

from losslab.models.deep_cnn import DeepCNN
from losslab.models.linear import Linear
from losslab.models.mlp import MLP
from losslab.models.resnet20 import ResNet20
from losslab.models.small_cnn import SmallCNN

__all__ = ["MLP", "DeepCNN", "Linear", "ResNet20", "SmallCNN"]
