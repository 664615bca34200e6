"""One look at what a model and a loss do, before a run is opened for them."""

import math

import torch
from torch import nn

from losslab.data import Dataset
from losslab.experiment.arguments import is_number, needed
from losslab.experiment.make import first_words
from losslab.losses import MAP
from losslab.training import Schedule


def rehearse_schedule(schedule: Schedule) -> None:
    """Ask a schedule for its first factors.

    Raises:
        ValueError: It raises, or gives no number from 0 up.
    """
    for progress in (0.0, 0.5):
        try:
            factor = schedule(progress)
        except Exception as error:  # whatever a schedule of one's own raises
            raise ValueError(
                f"schedule: it fails at progress {progress} "
                f"({type(error).__name__}: {first_words(error)}){needed('schedule')}"
            ) from error
        if not is_number(factor) or not 0 <= factor < math.inf:
            raise ValueError(
                f"schedule: it gives {factor!r} at progress {progress}; give a number from 0 up"
            )


def rehearse(model: nn.Module, objective: MAP, dataset: Dataset) -> None:
    """Give a few training pictures to the model and its logits to the loss; change nothing.

    Raises:
        ValueError: One of them raises, or gives the wrong shape or nothing to learn from.
    """
    # Not as many examples as classes, or a wrong axis would go unnoticed.
    count = 3 if dataset.num_classes == 2 else 2
    images, labels = dataset.train.images[:count] / 255, dataset.train.labels[:count]
    expected = (len(labels), dataset.num_classes)
    was_training = model.training
    model.eval()  # batch normalisation would count these pictures
    try:
        with torch.no_grad():
            logits = model(images)
    except Exception as error:  # whatever a model of one's own raises
        raise ValueError(
            f"model: it fails on pictures of shape {tuple(images.shape)} "
            f"({type(error).__name__}: {first_words(error)})"
        ) from error
    finally:
        model.train(was_training)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(
            f"model: it gives {given} for {len(labels)} pictures of {dataset.num_classes} classes; "
            f"give logits of shape {expected}"
        )
    _rehearse_loss(objective, logits.requires_grad_(), labels, model)


def _rehearse_loss(
    objective: MAP, logits: torch.Tensor, labels: torch.Tensor, model: nn.Module
) -> None:
    name = type(objective.likelihood).__name__
    try:
        with torch.enable_grad():
            terms = objective.terms(logits, labels, list(model.parameters()))
    except ValueError as error:
        raise ValueError(f"loss: {first_words(error)}") from error
    except Exception as error:  # whatever a loss of one's own raises
        raise ValueError(
            f"loss: {name} fails on logits of shape {tuple(logits.shape)} "
            f"({type(error).__name__}: {first_words(error)})"
        ) from error
    if terms.per_example.shape != labels.shape:
        raise ValueError(
            f"loss: {name} gives shape {tuple(terms.per_example.shape)} for {len(labels)} "
            f"examples; give one value an example, {tuple(labels.shape)}"
        )
    if not terms.likelihood.requires_grad:
        raise ValueError(
            f"loss: {name} has no gradient with respect to the logits; compute it from them with "
            "torch's functions"
        )
