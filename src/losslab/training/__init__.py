"""The training loop: one step, evaluation, and the run from first to last step."""

from losslab.training.checkpoint import (
    load_checkpoint,
    pack,
    pack_weights,
    save_checkpoint,
    unpack,
)
from losslab.training.device import configure_process, resolve_device
from losslab.training.evaluate import Evaluation, evaluate
from losslab.training.loop import Loop
from losslab.training.schedules import Constant, Cosine, OneCycle, Schedule
from losslab.training.settings import PRECISIONS, Trainer
from losslab.training.step import TrainingStep, forward

__all__ = [
    "PRECISIONS",
    "Constant",
    "Cosine",
    "Evaluation",
    "Loop",
    "OneCycle",
    "Schedule",
    "Trainer",
    "TrainingStep",
    "configure_process",
    "evaluate",
    "forward",
    "load_checkpoint",
    "pack",
    "pack_weights",
    "resolve_device",
    "save_checkpoint",
    "unpack",
]
