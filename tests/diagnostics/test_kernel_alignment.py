import math

import numpy as np
import pytest
import torch
from torch import nn

from losslab.diagnostics import KernelAlignment
from running import read
from viewing import view, view_of


def reference(one, other):
    """Return the centred alignment by the Hilbert-Schmidt criterion's cross-covariances.

    ⟨J K J, J L J⟩ = ‖(J H)ᵀ (J G)‖² for K = H Hᵀ and L = G Gᵀ: no kernel matrix is made.
    """
    h, g = (np.asarray(f) - np.asarray(f).mean(0) for f in (one, other))
    return np.linalg.norm(h.T @ g) ** 2 / (np.linalg.norm(h.T @ h) * np.linalg.norm(g.T @ g))


def moved(seen, step=0.3):
    """Return a view of the same network after its weights moved."""
    before = {name: value.clone() for name, value in seen.model.state_dict().items()}
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in seen.model.parameters():
            p += step * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return view(model=seen.model, initial=before), before


def test_against_cross_covariances():
    start = view()
    features = start.features
    now, before = moved(start)
    found = KernelAlignment().measure(now).scalars
    torch.testing.assert_close(now.initial_features, features)
    assert found["features"] == pytest.approx(reference(now.features, features))
    one_hot = torch.nn.functional.one_hot(now.labels)
    assert found["labels"] == pytest.approx(reference(now.features, one_hot))
    after = now.model.state_dict()
    flat = [np.concatenate([np.ravel(w[n]) for n in before]) for w in (before, after)]
    distance = np.linalg.norm(flat[1] - flat[0]) / np.linalg.norm(flat[0])
    assert found["weights"] == pytest.approx(distance)
    assert 0.1 < found["features"] < 0.99


def test_what_only_turns_and_grows_has_not_moved():
    h = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    seen = view_of(torch.zeros(12, 4), torch.arange(12) % 4, features=3 * h @ turn + 1)
    vars(seen)["initial_features"] = h
    assert KernelAlignment().measure(seen).scalars["features"] == pytest.approx(1)


NOISE = torch.rand(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    "features",
    [
        torch.ones(12, 3),
        3 + 1e-7 * NOISE,  # float32's rounding
        torch.full((12, 3), math.inf),
    ],
)
def test_what_cannot_be_computed_is_absent(features):
    seen = view_of(torch.zeros(12, 4), torch.arange(12) % 4, features=features.double())
    vars(seen)["initial_features"] = NOISE
    assert set(KernelAlignment().measure(seen).scalars) <= {"weights"}
    assert (
        KernelAlignment().measure(view(model=nn.Sequential(nn.Flatten(), nn.Linear(16, 4)))).scalars
        == {}
    )


def test_a_network_that_does_not_learn_is_lazy(losslab):
    words = ("diagnostics=kernel_alignment", "model=small_cnn", "model.width=2", "trainer.steps=2")
    seen = read(losslab.run(*words, "optimizer.lr=1e-9") / "summary.json")
    assert seen["why/kernel_alignment/features"] == pytest.approx(1)
    assert seen["why/kernel_alignment/weights"] < 1e-6
