"""How well the features of a network serve other classes, measured by a linear classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.data import Dataset, load
from losslab.data.parts import shift_and_scale
from losslab.data.splits import stratified_order
from losslab.diagnostics.view import Diagnostic, View
from losslab.seeding import generator
from losslab.types import Batch, Finding

PARTS = ("train", "val", "test")
CONSTANT = 1e-6  # relative to the features; a spread below it is rounding of float32
_FEW = 16  # images of each part in a dry run


@dataclass(frozen=True, kw_only=True)
class LinearProbe(Diagnostic):
    """Accuracy of multinomial logistic regression on the frozen inputs of the last layer.

    The features h of the images of chosen classes, of the data trained on or others of the same
    shape, are centred and divided by one number, the root mean square of their coordinates, both of
    the probe's training images. W and b minimise

        (1/N) Σ −log softmax(W h + b)_y + (λ/2) ‖W‖²,

    with L-BFGS. Of the ``penalties`` that λ takes the one with the highest accuracy on the probe's
    validation images is chosen, of equals the largest:

    - ``accuracy``: on the test images, with that λ; ``val/accuracy`` likewise on validation;
    - ``penalty``: that λ. At an end of ``penalties``, give more.

    Absent for a model without a module ``.output``, and where features are the same for all images.

    Reading: features that serve the classes trained on may no longer separate others
    (Kornblith et al. 2021, *Why do better loss functions lead to less transferable features?*).
    With ``every`` a number of epochs the first measurement is of the untrained network,
    ``why/linear_probe/accuracy@start`` in a study: the baseline. Images are
    normalised by their own training part, as in a run on them; chosen images are the same in every
    run. Cost: a forward pass of all images and a few seconds of fitting, so measure rarely.

    Attributes:
        data: Name of a choice in ``conf/data``, split as that file says.
        root: Folder of the data; ``None`` for that of the file.
        classes: Their labels; ``None`` for all.
        train_size: Images of these classes to fit, stratified; ``None`` for all, as the next two.
        val_size: Images to choose λ by.
        test_size: Images to measure on.
        penalties: Values of λ, above 0.

    Raises:
        ValueError: An option out of range; on measuring, data that cannot be read, or whose images
            have another shape.
    """

    every: int | None = None
    data: str
    root: str | None = None
    classes: Sequence[int] | None = None
    train_size: int | None = None
    val_size: int | None = None
    test_size: int | None = None
    penalties: Sequence[float] = (1.0, 0.1, 0.01, 0.001, 0.0001)

    def __post_init__(self) -> None:
        labels = self.classes
        if labels is not None and (len(set(labels)) < max(2, len(labels)) or min(labels) < 0):
            raise ValueError(f"classes={list(labels)}; give two or more labels ≥ 0, each once")
        for name in (f"{part}_size" for part in PARTS):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name}={size}; give a number of images ≥ 1, or null")
        if not self.penalties or not min(self.penalties) > 0:
            raise ValueError(f"penalties={list(self.penalties)}; give one or more numbers above 0")

    def smallest(self) -> "LinearProbe":
        """Return a probe of a few images."""
        sizes: dict[str, Any] = {f"{part}_size": _FEW for part in PARTS}
        return replace(self, penalties=self.penalties[:1], **sizes)

    def measure(self, view: View) -> Finding:
        """Return accuracies in [0, 1] and the penalty."""
        dataset = _read(self.data, self.root)
        expected = tuple(view.probe.images.shape[1:])
        if dataset.input_shape != expected:
            shapes = f"images of {dataset.input_shape}, those trained on are {expected}"
            raise ValueError(f"data={self.data} has {shapes}; give data of the same shape")
        batches = {part: self._part(dataset, part) for part in PARTS}
        features: dict[str, Tensor] = {}
        for part, batch in batches.items():
            h = view.features_of(batch.images)
            if h is None or not bool(h.isfinite().all()):
                return Finding({}, {})
            features[part] = h
        centre = features["train"].mean(0)
        scale = (features["train"] - centre).square().mean().sqrt()
        if not scale > CONSTANT * features["train"].square().mean().sqrt():
            return Finding({}, {})
        features = {part: (h - centre) / scale for part, h in features.items()}
        num_classes = dataset.num_classes if self.classes is None else len(self.classes)
        labels = {part: batch.labels for part, batch in batches.items()}
        weights = torch.zeros(num_classes, features["train"].shape[1] + 1)
        best = {"accuracy": -1.0, "val/accuracy": -1.0, "penalty": 0.0}
        for penalty in sorted(self.penalties, reverse=True):
            weights = fit(features["train"], labels["train"], penalty=penalty, start=weights)
            val, test = (
                float((scores(weights, features[part]).argmax(1) == labels[part]).double().mean())
                for part in ("val", "test")
            )
            if val > best["val/accuracy"]:
                best = {"accuracy": test, "val/accuracy": val, "penalty": float(penalty)}
        return Finding(best, {})

    def _part(self, dataset: Dataset, part: str) -> Batch:
        """Return images ``(N, C, H, W)`` of the classes, and labels ``(N,)`` in their order."""
        labels: Tensor = getattr(dataset, part).clean_labels
        num_classes = dataset.num_classes
        classes = list(range(num_classes)) if self.classes is None else list(self.classes)
        if max(classes) >= num_classes:
            raise ValueError(
                f"classes={classes}; data={self.data} has labels from 0 to {num_classes - 1}"
            )
        indices = torch.isin(labels, torch.tensor(classes)).nonzero().squeeze(1)
        if len(indices) == 0:
            raise ValueError(f"classes={classes}: the {part} part of {self.data} has none of them")
        order = stratified_order(labels[indices], generator(0, "linear_probe", part))
        indices = indices[order[: getattr(self, f"{part}_size")]]
        new_label = torch.tensor(
            [classes.index(k) if k in classes else -1 for k in range(num_classes)]
        )
        shift, scale = shift_and_scale(dataset.mean, dataset.std)
        images: Tensor = getattr(dataset, part).images[indices]
        return Batch(images.float().sub_(shift).mul_(scale), new_label[labels[indices]])


@lru_cache(maxsize=2)
def _read(name: str, root: str | None) -> Dataset:
    """Read a data set once for all runs of a process."""
    return load(name, **({} if root is None else {"root": root}))


def scores(weights: Tensor, features: Tensor) -> Tensor:
    """Return W h + b ``(N, K)`` of weights ``(K, D + 1)``, b last, and features ``(N, D)``."""
    return features @ weights[:, :-1].T + weights[:, -1]


def fit(features: Tensor, labels: Tensor, *, penalty: float, start: Tensor) -> Tensor:
    """Return the weights ``(K, D + 1)``, b last, of penalised multinomial logistic regression.

    They minimise the mean of −log softmax(W h + b)_y over features ``(N, D)`` and labels ``(N,)``,
    and ``penalty``/2 ‖W‖² on top. The problem is convex: ``start``, ``(K, D + 1)``, changes only
    the time that it takes.

    >>> h, y = torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1])
    >>> weights = fit(h, y, penalty=0.1, start=torch.zeros(2, 2))
    >>> scores(weights, h).argmax(1)
    tensor([0, 1])
    """
    from scipy.optimize import minimize  # takes a while to import

    h, targets = features.double(), one_hot(labels, len(start)).double()

    def objective(flat: Any) -> tuple[float, Any]:
        weights = torch.from_numpy(flat).reshape(start.shape)
        log_p = scores(weights, h).log_softmax(1)
        residual = (log_p.exp() - targets) / len(h)
        gradient = torch.cat([residual.T @ h, residual.sum(0)[:, None]], dim=1)
        gradient[:, :-1] += penalty * weights[:, :-1]
        size = weights[:, :-1].square().sum()
        value = -(log_p * targets).sum() / len(h) + penalty / 2 * size
        return value.item(), gradient.flatten().numpy()

    options = {"maxiter": 1000, "gtol": 1e-5, "ftol": 1e-9}
    flat_start = np.ascontiguousarray(start.double().flatten().numpy())
    result = minimize(objective, flat_start, jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(result.x).reshape(start.shape)
