import pytest
import torch

from losslab.diagnostics import EarlyStopping
from losslab.types import Predictions
from running import read, records
from viewing import view

CLASSES, EXAMPLES = 3, 200
LABELS = torch.arange(EXAMPLES) % CLASSES


def answers(seed: int) -> torch.Tensor:
    return torch.randint(CLASSES, (EXAMPLES,), generator=torch.Generator().manual_seed(seed))


def measure(said, recorded=None, **options):
    val = Predictions(torch.nn.functional.one_hot(said, CLASSES).float(), LABELS)
    return EarlyStopping(**options).measure(view(val=val, recorded=recorded or {})).scalars


def test_the_best_epoch_against_one_example_at_a_time():
    recorded, epochs = {}, []
    for epoch in range(6):
        said = answers(epoch)
        found = measure(said, recorded, label_noise=0.0, one_in=4)
        right = [int(a == b) for a, b in zip(said.tolist(), LABELS.tolist(), strict=True)]
        chooses, others = right[::4], [r for i, r in enumerate(right) if i % 4]
        epochs.append((sum(chooses) / len(chooses), sum(others) / len(others)))
        best = max(range(epoch + 1), key=lambda e: epochs[e][0])  # the first of equals
        for name in ("noisy", "clean"):  # without noise they are the same
            assert found[f"{name}/accuracy"] == pytest.approx(epochs[-1][0])
            assert found[f"{name}/best/accuracy"] == pytest.approx(epochs[best][0])
            assert found[f"{name}/stopped/accuracy"] == pytest.approx(epochs[best][1])
        assert found["held_out/accuracy"] == pytest.approx(epochs[-1][1])
        recorded = {f"why/early_stopping/{key}": value for key, value in found.items()}


def test_of_epochs_that_do_equally_well_the_first_is_chosen():
    early = LABELS.clone()
    early[1::5] = (early[1::5] + 1) % CLASSES  # a quarter of those that do not choose
    recorded = {f"why/early_stopping/{key}": value for key, value in measure(early).items()}
    found = measure(LABELS, recorded)
    assert (found["clean/stopped/accuracy"], found["held_out/accuracy"]) == (0.75, 1.0)


@pytest.mark.parametrize(("kind", "others"), [("symmetric", 0.5), ("pairwise", 1.0)])
def test_wrong_labels_choose_as_the_training_labels_are_wrong(kind, others):
    options = {"label_noise": 0.4, "noise_kind": kind, "one_in": 2}
    assert measure(LABELS, **options)["noisy/accuracy"] == pytest.approx(0.6)
    assert measure(LABELS, **options)["clean/accuracy"] == 1.0
    # To answer the next class is right where the noise went there.
    shifted = measure((LABELS + 1) % CLASSES, **options)["noisy/accuracy"]
    assert shifted == pytest.approx(0.4 * others, abs=0.15 * (others < 1))


@pytest.mark.parametrize("one_in", [1, 2.5, True])
def test_some_images_choose_and_some_do_not(one_in):
    with pytest.raises(ValueError, match=f"one_in={one_in}; give a whole number of images ≥ 2"):
        EarlyStopping(one_in=one_in)


def test_in_a_run(losslab):
    noisy = ("data.label_noise=0.4", "+data.noise_kind=pairwise", "trainer.epochs=3")
    run = losslab.run("diagnostics=label_noise", *noisy)
    config = (run / "config.yaml").read_text("utf-8")
    assert config.count("label_noise: 0.4") == 2
    assert config.count("noise_kind: pairwise") == 2
    below, seen = "why/early_stopping/", read(run / "summary.json")
    curve = [r for r in records(run) if f"{below}noisy/accuracy" in r]
    assert len(curve) == 4
    best = max(curve, key=lambda r: r[f"{below}noisy/accuracy"])
    assert seen[f"{below}noisy/best/accuracy"] == best[f"{below}noisy/accuracy"]
    assert seen[f"{below}noisy/stopped/accuracy"] == best[f"{below}held_out/accuracy"]
