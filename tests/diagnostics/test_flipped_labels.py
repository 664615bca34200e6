import pytest
import torch

from losslab.diagnostics import FlippedLabels
from running import read, records
from viewing import training_epoch, view


def measure(epoch):
    return FlippedLabels().measure(view(epoch=epoch)).scalars


def test_against_one_example_at_a_time():
    generator = torch.Generator().manual_seed(0)
    clean, labels, said = torch.randint(3, (3, 500), generator=generator)
    columns = {"memorised": [], "corrected": [], "clean_accuracy": []}
    for c, y, s in zip(clean.tolist(), labels.tolist(), said.tolist(), strict=True):
        if c == y:
            columns["clean_accuracy"].append(s == y)
        else:
            columns["memorised"].append(s == y)
            columns["corrected"].append(s == c)
    found = measure(training_epoch(said, labels, clean=clean))
    assert found == pytest.approx({name: sum(c) / len(c) for name, c in columns.items()})


def test_nothing_to_see():
    labels = torch.tensor([0, 1, 2])
    assert measure(None) == {}
    assert measure(training_epoch(labels, labels)) == {}
    assert measure(training_epoch(labels, labels, clean=labels.roll(1))) == {
        "memorised": 1.0,
        "corrected": 0.0,
    }


def test_the_parts_make_up_the_training_accuracy(losslab):
    run = losslab.run("diagnostics=flipped_labels", "data.label_noise=0.25", "trainer.epochs=1")
    assert records(run)[0]["step"] == 0
    assert "why/flipped_labels/memorised" not in records(run)[0]
    seen = read(run / "summary.json")
    parts = 0.25 * seen["why/flipped_labels/memorised"]
    parts += 0.75 * seen["why/flipped_labels/clean_accuracy"]
    assert parts == pytest.approx(seen["train/accuracy"])
    assert seen["why/flipped_labels/corrected"] > seen["why/flipped_labels/memorised"]
