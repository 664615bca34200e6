import warnings

import pytest
import torch

from losslab.training import Constant, Cosine, OneCycle

RATE = 0.4


def rates_of_torch(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def rates(schedule, steps: int) -> list[float]:
    return [RATE * schedule(step / steps) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs(steps, final):
    reference = rates_of_torch(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=steps, eta_min=final * RATE
        ),
        steps,
    )
    assert rates(Cosine(final=final), steps) == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("final", [0.0, 0.002])
def test_one_cycle_is_torchs(warmup, final, anneal_strategy):
    # Torch counts the peak at step warmup * steps - 1 and the end at the last step; with these
    # lengths both place their turns at the same shares, up to that one step.
    steps, initial = 1000, 0.04

    def make(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=RATE,
            total_steps=steps + 1,
            pct_start=(warmup * steps + 1) / (steps + 1),
            div_factor=1 / initial,
            final_div_factor=initial / final if final else 1e12,
            cycle_momentum=False,
            anneal_strategy=anneal_strategy,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = rates_of_torch(make, steps)
    schedule = OneCycle(
        warmup=warmup, initial=initial, final=final, anneal_strategy=anneal_strategy
    )
    assert rates(schedule, steps) == pytest.approx(reference, abs=1e-12)


def test_one_cycle_without_warm_up_starts_at_its_peak():
    schedule = OneCycle(warmup=0.0, initial=0.04, final=0.5)
    assert schedule(0.0) == 1.0
    assert schedule(0.999999) == pytest.approx(0.5)


def test_another_way_to_anneal():
    with pytest.raises(ValueError, match=r"anneal_strategy=lin; give one of cos, linear"):
        OneCycle(anneal_strategy="lin")


def test_constant():
    assert rates(Constant(), 5) == [RATE] * 5


@pytest.mark.parametrize("schedule", [Cosine, OneCycle])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_shares_out_of_range(schedule, value):
    with pytest.raises(ValueError, match=rf"schedule\.final={value}.*\[0, 1\)"):
        schedule(final=value)
