"""Build the parts of a run from its configuration, and reject invalid combinations."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from losslab.data import BatchLoader, Dataset, Part
from losslab.data.parts import shift_and_scale
from losslab.diagnostics import Diagnostic, check_cadences
from losslab.experiment.arguments import check_arguments
from losslab.experiment.data import CONTENT, load
from losslab.experiment.dry_run import check_outputs, check_schedule, reporting
from losslab.experiment.make import MakeOptimizer, make, make_optimizer_factory
from losslab.experiment.warm_start import warm_start
from losslab.losses import MAP, FlatPrior, Loss
from losslab.seeding import derive
from losslab.training import PRECISIONS, Schedule, Trainer, TrainingStep, resolve_device

_FROM_DATA = ("input_shape", "num_classes")
_IMAGES_TO_INITIALIZE_FROM = 2000


@dataclass(frozen=True)
class Parts:
    """The parts of a run."""

    dataset: Dataset
    model: nn.Module  # on the CPU, with its initial weights
    objective: MAP  # what training minimises
    make_optimizer: MakeOptimizer  # maps parameters to an optimizer
    schedule: Schedule  # maps progress to a factor on the learning rate
    trainer: Trainer  # settings of the loop
    diagnostics: dict[str, Diagnostic]  # by name
    device: torch.device  # where training takes place

    def move(self) -> None:
        """Move model and objective to the device, with the memory layout of the settings."""
        move_model(self.model, self.device, self.trainer)
        self.objective.to(self.device)

    def step(self) -> TrainingStep:
        """Return the training step on the device, with a new optimizer."""
        self.move()
        parameters = list(self.model.parameters())
        loss_parameters = list(self.objective.parameters())
        # Weight decay, like a prior, applies to the model's weights only.
        groups = [{"params": parameters}, {"params": loss_parameters, "weight_decay": 0.0}]
        return TrainingStep(
            model=self.model,
            objective=self.objective,
            optimizer=self.make_optimizer(groups if loss_parameters else parameters),
            parameters=parameters,
            autocast=PRECISIONS[self.trainer.precision],
        )

    def loader(self, part: str) -> BatchLoader:
        """Return the batches of ``train``, ``val`` or ``test``, on the device."""
        dataset, settings = self.dataset, self.trainer
        examples: Part = getattr(dataset, part)
        key = (id(examples), settings.batch_size, settings.channels_last, self.device)
        # Runs that train together share loaders, and so the images on the device.
        loader = _LOADERS.get(key)
        if loader is None:
            _LOADERS[key] = loader = BatchLoader(
                examples,
                batch_size=settings.batch_size,
                mean=dataset.mean,
                std=dataset.std,
                device=self.device,
                channels_last=settings.channels_last,
                augmentation=dataset.augmentation,
            )
        return loader


_LOADERS: WeakValueDictionary[Any, BatchLoader] = WeakValueDictionary()


def move_model(model: nn.Module, device: torch.device, settings: Trainer) -> None:
    """Move a model to the device, with the memory layout of the settings."""
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    model.to(device, memory_format=layout)  # type: ignore[call-overload]


def build(config: DictConfig) -> Parts:
    """Instantiate all parts; writes nothing but the data cache.

    Checks that need no data come first. ``ValueError`` if a value is out of range, a name does not
    exist, choices exclude each other, or model or loss fails.
    """
    trainer: Trainer = make(config.trainer, "trainer", kind=Trainer)
    device = resolve_device(trainer.device)
    schedule: Schedule = make(config.schedule, "schedule", kind=Callable)
    check_schedule(schedule)
    make_optimizer = make_optimizer_factory(config.optimizer)
    check_arguments(config.model, "model", supplied=_FROM_DATA)
    _objective(config, make_optimizer, num_train=1)
    for name, node in config.diagnostics.items():
        if not OmegaConf.is_dict(node):  # a file without the line `name:` above `_target_`
            rule = "give a name, and below it _target_ and its arguments"
            raise ValueError(f"diagnostics.{name}={node}; {rule}")
    diagnostics: dict[str, Diagnostic] = {
        str(name): make(node, f"diagnostics.{name}") for name, node in config.diagnostics.items()
    }
    check_cadences(diagnostics)
    dataset = load(config.data, content=config.get(CONTENT))
    num_train = len(dataset.train.labels)
    if trainer.batch_size > num_train:
        raise ValueError(
            f"trainer.batch_size={trainer.batch_size} is more than the {num_train} training "
            f"examples of data={dataset.name}; give 1 to {num_train}"
        )
    objective = _objective(config, make_optimizer, num_train=num_train)
    from_data = {name: getattr(dataset, name) for name in _FROM_DATA}
    # Drawn on the CPU from a separate stream, so that all losses and devices start equal.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "weights"))
        model: nn.Module = make(config.model, "model", kind=nn.Module, **from_data)
        _initialize(model, dataset)
        check_outputs(model, objective, dataset)
    if config.init_from is not None:
        warm_start(model, config.init_from, options=config.model)
    return Parts(dataset, model, objective, make_optimizer, schedule, trainer, diagnostics, device)


def _initialize(model: nn.Module, dataset: Dataset) -> None:
    """Call ``initialize_from`` of models that have it, such as whitened ones, on some images."""
    initialize_from = getattr(model, "initialize_from", None)
    if initialize_from is None:
        return
    shift, scale = shift_and_scale(dataset.mean, dataset.std)
    # In the random, stratified order of the training part.
    images = dataset.train.images[:_IMAGES_TO_INITIALIZE_FROM].float().sub_(shift).mul_(scale)
    with torch.no_grad(), reporting("model: its initialize_from fails"):
        initialize_from(images)


def check_optimizer(config: DictConfig) -> None:
    """Reject wrong arguments of the optimizer, and those that conflict with the loss."""
    _objective(config, make_optimizer_factory(config.optimizer), num_train=1)


def _objective(config: DictConfig, make_optimizer: MakeOptimizer, *, num_train: int) -> MAP:
    node = config.loss.copy()
    if OmegaConf.is_missing(node, "num_train"):
        node.num_train = num_train
    elif "num_train" in node:
        # Not part of a run's identity, so it must not change the result.
        raise ValueError(f"loss.num_train={node.num_train} follows from the data; leave it at ???")
    loss: nn.Module = make(node, "loss", kind=nn.Module)
    if isinstance(loss, Loss | MAP) and "reduction" in node:
        why = "has no effect, since training lowers the mean; leave it out"
        raise ValueError(f"loss.reduction={node.reduction} {why}")
    if not isinstance(loss, MAP):
        return MAP(loss, FlatPrior(), num_train=num_train)  # maximum likelihood
    # Ask the optimizer, not the configuration: AdamW's default is not 0.
    argument = inspect.signature(make_optimizer).parameters.get("weight_decay")
    decay = argument.default if argument else 0.0
    if not isinstance(loss.prior, FlatPrior) and decay != 0:
        raise ValueError(
            f"the loss has a prior, and optimizer.weight_decay={decay}: the weights would be "
            "penalised twice; set optimizer.weight_decay=0 or choose a loss without a prior"
        )
    return loss
