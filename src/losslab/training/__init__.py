"""The training loop; :func:`fit` runs it on your own model, loss and tensors."""

from losslab.training.checkpoint import load_checkpoint, pack, pack_weights, save_checkpoint, unpack
from losslab.training.device import configure_process, device_name, process_kept, resolve_device
from losslab.training.engines import train_together
from losslab.training.fit import fit
from losslab.training.loop import Loop
from losslab.training.schedules import Constant, Cosine, OneCycle, Schedule
from losslab.training.settings import PRECISIONS, Trainer
from losslab.training.stack import Stack
from losslab.training.step import Evaluation, TrainingStep, evaluate, forward

__all__ = [
    "PRECISIONS",
    "Constant",
    "Cosine",
    "Evaluation",
    "Loop",
    "OneCycle",
    "Schedule",
    "Stack",
    "Trainer",
    "TrainingStep",
    "configure_process",
    "device_name",
    "evaluate",
    "fit",
    "forward",
    "load_checkpoint",
    "pack",
    "pack_weights",
    "process_kept",
    "resolve_device",
    "save_checkpoint",
    "train_together",
    "unpack",
]
