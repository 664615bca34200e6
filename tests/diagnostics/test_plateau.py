import math

import pytest
import torch
from scipy.stats import binom

from losslab.diagnostics import Plateau
from viewing import training_epoch, view


def measure(epoch, **recorded):
    recorded = {f"why/plateau/{name}": value for name, value in recorded.items()}
    return Plateau().measure(view(epoch=epoch, recorded=recorded)).scalars


def epoch_of(rates, *, batch_size=64, last=None, first_step=0):
    """Return an epoch of ten classes with these accuracies, step by step."""
    sizes = [batch_size] * (len(rates) - 1) + [last or batch_size]
    labels = torch.arange(sum(sizes)) % 10
    wrong = torch.cat([torch.arange(n) >= round(n * r) for n, r in zip(sizes, rates, strict=True)])
    said = (labels + wrong.long()) % 10
    return training_epoch(said, labels, batch_size=batch_size, first_step=first_step)


def first_step_above(rates, sizes, chance):
    """Return the last step of the first window of 10 that Chernoff's bound does not excuse."""
    for start in range(len(rates) - 9):
        window = slice(start, start + 10)
        n = sum(sizes[window])
        a = sum(round(r * s) for r, s in zip(rates[window], sizes[window], strict=True)) / n
        bound = (chance / a) ** (n * a) * ((1 - chance) / (1 - a)) ** (n * (1 - a))
        if a > chance and bound < 1e-6:
            return start + 9
    return None


@pytest.mark.parametrize("start", [5, 20, 40])
@pytest.mark.parametrize("rise", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("last", [64, 7])
def test_against_a_loop(start, rise, last):
    rates = [min(0.9, 0.1 + max(0, step - start) * rise) for step in range(50)]
    found = measure(epoch_of(rates, last=last, first_step=1000))
    epoch = epoch_of(rates, last=last)
    chance = epoch.predictions.labels.bincount().max().item() / len(epoch.predictions.labels)
    expected = first_step_above(rates, [64] * 49 + [last], chance)
    if expected is None:
        assert found == {"left": 0.0}
    else:
        assert found == {"left": 1.0, "steps": 1000 + expected}


@pytest.mark.parametrize("chance", [0.5, 0.1, 0.001])
@pytest.mark.parametrize("n", [10, 640, 5120])
def test_the_bound_is_one(n, chance):
    for right in range(math.ceil(n * chance) or 1, n):
        a = right / n
        divergence = a * math.log(a / chance) + (1 - a) * math.log((1 - a) / (1 - chance))
        assert binom.sf(right - 1, n, chance) <= math.exp(-n * divergence) * (1 + 1e-9)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_guessing_never_leaves(num_classes):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3520) % num_classes
    for _ in range(50):
        said = torch.randint(num_classes, labels.shape, generator=generator)
        assert measure(training_epoch(said, labels)) == {"left": 0.0}


def test_knowing_only_the_most_frequent_class_is_chance():
    labels = torch.arange(3200) % 10 // 7  # seven in ten are of class 0
    assert measure(training_epoch(torch.zeros_like(labels), labels)) == {"left": 0.0}


@pytest.mark.parametrize(("steps", "found"), [(1, 0), (3, 2), (40, 9)])
def test_knowing_everything_leaves_with_the_first_window(steps, found):
    labels = torch.arange(steps * 64) % 10
    assert measure(training_epoch(labels, labels)) == {"left": 1.0, "steps": float(found)}


def test_a_short_last_batch_counts_the_examples_that_it_has():
    labels = torch.arange(20) % 10  # of a batch of 64
    assert measure(training_epoch(labels, labels)) == {"left": 1.0, "steps": 0.0}


def test_what_was_found_stays():
    epoch = epoch_of([0.1] * 20, first_step=500)
    assert measure(epoch, left=1.0, steps=37.0) == {"left": 1.0, "steps": 37.0}
    assert measure(epoch, left=0.0) == {"left": 0.0}
    assert measure(None) == {}
