"""Views of small random networks in float64, for comparisons with brute force."""

import torch
from torch import nn

from losslab.diagnostics import View
from losslab.losses import MAP, CrossEntropy, FlatPrior, Loss
from losslab.models import MLP
from losslab.types import Batch, Predictions, TrainingEpoch

CLASSES, EXAMPLES = 4, 24


def view(loss: Loss | None = None, *, scale: float = 1.0, model=None, **more) -> View:
    """Return a view of an untrained network on random pictures, the same for every loss."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(EXAMPLES, 1, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(EXAMPLES) % CLASSES
    if model is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = MLP((1, 4, 4), CLASSES, width=6, depth=1, output_scale=scale)
    model = model.double().eval()
    options = {
        "objective": MAP(loss or CrossEntropy(), FlatPrior(), num_train=100),
        "probe": Batch(images, labels),
        "initial": {name: value.clone() for name, value in model.state_dict().items()},
        "recorded": {},
    }
    return View(model=model, **(options | more))


def view_of(logits, labels, loss: Loss | None = None, *, features=None, **more) -> View:
    """Return a view of given logits (P, K) and features (P, D), whatever network gave them."""
    seen = view(loss, probe=Batch(torch.zeros(len(labels), 1, 4, 4), labels), **more)
    vars(seen)["_graph"] = (logits, features)
    return seen


def training_epoch(said, labels, *, clean=None, batch_size=64, first_step=0) -> TrainingEpoch:
    """Return an epoch in which the network said these classes (N,) of examples of these labels."""
    logits = torch.nn.functional.one_hot(said, int(max(said.max(), labels.max())) + 1).float()
    clean = labels if clean is None else clean
    return TrainingEpoch(Predictions(logits, labels), clean, batch_size, first_step)


def rows(view: View):
    """Yield each probe example alone: logits (1, K) with a graph, and its label (1,)."""
    for logits, label in zip(view.logits, view.labels, strict=True):
        yield logits.detach().clone().unsqueeze(0).requires_grad_(), label.unsqueeze(0)


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
