"""What is due when: pictures seldom, histograms each epoch, precision and recall at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from losslab.board import histogram, picture, precision_recall
from losslab.data import Part
from losslab.losses import MAP, GaussianPrior, LaplacePrior
from losslab.metrics import ClassificationSums, reliability
from losslab.pictures import cells, charts
from losslab.pictures.canvas import Picture
from losslab.styles import LOSS_STYLES, PURPLE
from losslab.types import Curves, Predictions

Shown = list[Any]
"""Values of a TensorBoard summary."""

WORST = 15
MOST_CURVES = 20
"""Classes that have a precision-recall curve of their own; of more only all together."""

_BINS = 50
_MOST_WEIGHTS = 100_000  # of a tensor, for its histogram

_PROFILE = "why/logit_gradients/profile"


class Album:
    """Draws one run.

    Everything is of the validation part, which is what one looks at while choosing; only the
    precision-recall curves, once at the end, are of the test part.

    Args:
        loss: Its config name, for its colour.
        model: Trained elsewhere.
        objective: What training lowers, for its prior.
        val: The validation part.
        class_names: K names.
        pictures_every: Epochs between two series of pictures, the last one at the end; ``None``
            for no pictures and no precision-recall curves.
        histograms_every: Likewise of histograms.
    """

    def __init__(
        self,
        *,
        loss: str,
        model: nn.Module,
        objective: MAP,
        val: Part,
        class_names: Sequence[str],
        pictures_every: int | None,
        histograms_every: int | None,
    ) -> None:
        self._color = LOSS_STYLES[loss].color if loss in LOSS_STYLES else PURPLE
        self._model = model
        self._prior = objective.prior
        self._val = val
        self._names = [str(name) for name in class_names]
        self._pictures_every = pictures_every
        self._histograms_every = histograms_every

    def during(self, epochs_done: int, *, val: Predictions, curves: Curves, last: bool) -> Shown:
        """Return what is due after an epoch.

        Args:
            epochs_done: 0 before the first.
            val: Predictions of the validation part.
            curves: What diagnostics saw that is a picture.
            last: Whether training is over.
        """
        shown: Shown = []
        if not bool(val.logits.isfinite().all()):
            return shown  # nothing to see: the run is about to be found diverged
        logits, labels = val.logits.cpu().double(), val.labels.cpu()
        probabilities = logits.softmax(dim=1)
        if _due(self._histograms_every, epochs_done, last=last):
            p_true = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
            shown += [
                _histogram("logits/val", logits),
                _histogram("p_true/val", p_true, range=(0.0, 1.0)),
            ]
            shown += [_histogram(f"weights/{name}", value) for name, value in self._weights()]
        if _due(self._pictures_every, epochs_done, last=last) and epochs_done:
            pictures = self._of_predictions(logits, labels, probabilities)
            pictures |= self._of_weights() | self._of_curves(curves)
            shown += _values(pictures)
        return shown

    def after(self, *, test: Predictions, curves: Curves) -> Shown:
        """Return what is due once, after the final evaluation."""
        if self._pictures_every is None:
            return []
        shown = _values(self._of_curves(curves))
        if bool(test.logits.isfinite().all()):
            shown += self._precision_recall(test.logits.cpu().softmax(dim=1), test.labels.cpu())
        return shown

    def _weights(self) -> list[tuple[str, Tensor]]:
        return [(name, p.detach()) for name, p in self._model.named_parameters() if p.dim() > 1]

    def _of_predictions(
        self, logits: Tensor, labels: Tensor, probabilities: Tensor
    ) -> dict[str, Picture]:
        classes = len(self._names)
        confidence, predicted = probabilities.max(dim=1)
        counts = np.bincount((labels * classes + predicted).numpy(), minlength=classes**2)
        sums = ClassificationSums.of(logits, labels)
        wrong = (predicted != labels).nonzero().squeeze(1)
        # Stable, so that of equal confidences the same ones come first on every machine.
        worst = wrong[confidence[wrong].argsort(descending=True, stable=True)[:WORST]]
        captions = [
            f"{self._names[labels[i]][:8]} as {self._names[predicted[i]][:8]}\n{confidence[i]:.1%}"
            for i in worst.tolist()
        ]
        images = self._val.images[worst.to(self._val.images.device)].cpu().numpy()
        return {
            "confusion_matrix/val": cells.confusion_matrix(
                counts.reshape(classes, classes).astype(np.float64), self._names
            ),
            "reliability/val": charts.reliability_diagram(
                reliability(sums), ece=sums.scalars()["ece"], color=self._color
            ),
            "worst_mistakes/val": cells.worst_mistakes(images, captions, wrong=len(wrong)),
        }

    def _of_weights(self) -> dict[str, Picture]:
        vectors = [p.detach().flatten().cpu().float() for p in self._model.parameters()]
        weights = torch.cat(vectors).numpy()
        if not np.isfinite(weights).all():
            return {}
        reach = float(np.abs(weights).max()) or 1.0
        counts, edges = np.histogram(weights, bins=_BINS, range=(-reach, reach))
        name, density = _density(self._prior)
        pictures = {
            "weights/density": charts.weight_histogram(
                counts.tolist(), edges.tolist(), color=self._color, prior=density, prior_name=name
            )
        }
        filters = first_layer_filters(self._model, tuple(self._val.images.shape[1:]))
        if filters is not None:
            pictures["first_layer/filters"] = cells.first_layer(filters.cpu().double().numpy())
        return pictures

    def _of_curves(self, curves: Curves) -> dict[str, Picture]:
        pictures = {}
        if _PROFILE in curves:
            pictures["gradient_profile/train"] = charts.gradient_profile(
                curves[_PROFILE], color=self._color
            )
        if curves.get("why/landscape/line", {}).get("loss"):
            line = curves["why/landscape/line"]
            pictures["loss_surface/line"] = charts.loss_line(line, color=self._color)
        if curves.get("why/landscape/surface", {}).get("loss"):
            pictures["loss_surface/plane"] = cells.loss_surface(curves["why/landscape/surface"])
        return pictures

    def _precision_recall(self, probabilities: Tensor, labels: Tensor) -> Shown:
        one_hot = torch.nn.functional.one_hot(labels, len(self._names)).bool()
        groups: Mapping[str, Any] = {"all classes": slice(None)}
        if len(self._names) <= MOST_CURVES:
            groups = {f"class {name}": index for index, name in enumerate(self._names)}
        shown = []
        for title, chosen in groups.items():
            p, of_class = probabilities[:, chosen], one_hot[:, chosen]
            positives, negatives = (p[mask].double().numpy() for mask in (of_class, ~of_class))
            if not len(positives):
                continue
            tag = f"precision_recall/{title.replace(' ', '_')}"
            shown.append(precision_recall(tag, positives, negatives, title=f"{title}, test part"))
        return shown


def first_layer_filters(model: nn.Module, shape: tuple[int, ...]) -> Tensor | None:
    """Return the weights ``(U, C, H, W)`` that a model applies to the picture itself.

    Of a first convolution its kernels, of a first linear layer its rows as pictures; ``None`` for a
    model that begins otherwise.

    Args:
        model: Whose modules are in the order of use.
        shape: ``(C, H, W)`` of a picture.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach() if module.in_channels == shape[0] else None
        if isinstance(module, nn.Linear):
            fits = module.in_features == int(np.prod(shape))
            return module.weight.detach().reshape(-1, *shape) if fits else None
    return None


def _due(every: int | None, epochs_done: int, *, last: bool) -> bool:
    return every is not None and (last or epochs_done % every == 0)


def _values(pictures: Mapping[str, Picture]) -> Shown:
    return [
        picture(tag, drawn.png, width=drawn.width, height=drawn.height)
        for tag, drawn in pictures.items()
    ]


def _histogram(tag: str, values: Tensor, *, range: tuple[float, float] | None = None) -> Any:
    flat = values.flatten()
    some = flat[:: len(flat) // _MOST_WEIGHTS + 1].cpu().double().numpy()
    counts, edges = np.histogram(some[np.isfinite(some)], bins=_BINS, range=range)
    return histogram(tag, counts, edges)


def _density(prior: Any) -> tuple[str, Any]:
    if isinstance(prior, GaussianPrior):
        std = prior.std
        return (
            f"Gaussian prior of std {std:.3g}",
            lambda x: np.exp(-((x / std) ** 2) / 2) / (np.sqrt(2 * np.pi) * std),
        )
    if isinstance(prior, LaplacePrior):
        scale = prior.scale
        return (
            f"Laplace prior of scale {scale:.3g}",
            lambda x: np.exp(-np.abs(x) / scale) / (2 * scale),
        )
    return "", None
