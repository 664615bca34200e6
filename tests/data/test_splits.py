import pytest
import torch

from losslab.data.splits import NOISE_KINDS, noisy_labels, resolve_size, stratified_order
from losslab.seeding import generator


@pytest.mark.parametrize("counts", [[50, 50, 50], [90, 40, 7], [1, 30, 300]])
def test_every_prefix_holds_the_classes_in_proportion(counts):
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    order = stratified_order(labels, generator(0, "test"))
    assert order.sort().values.tolist() == list(range(len(labels)))
    seen = torch.nn.functional.one_hot(labels[order], 3).cumsum(0).double()
    share = torch.tensor(counts).double() / len(labels)
    expected = torch.arange(1, len(labels) + 1)[:, None] * share
    assert (seen - expected).abs().max() <= 1.5


def test_equal_classes_come_in_exact_turns_and_in_no_fixed_order():
    labels = torch.arange(200) % 10
    order = stratified_order(labels, generator(1, "test"))
    turns = labels[order].reshape(-1, 10)
    assert (turns.sort(dim=1).values == torch.arange(10)).all()
    assert len({tuple(turn) for turn in turns.tolist()}) > 10


def test_a_class_that_is_not_there_is_no_trouble():
    labels = torch.tensor([0, 3, 3, 0])
    order = stratified_order(labels, generator(0, "test"))
    assert sorted(labels[order[:2]].tolist()) == [0, 3]


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.333, 0.99])
def test_noise_changes_the_rounded_count_always_to_another_class(share, kind):
    labels = torch.arange(301) % 7
    noisy = noisy_labels(labels, share=share, kind=kind, num_classes=7, generator=generator(0, "n"))
    assert int((noisy != labels).sum()) == round(share * 301)
    assert noisy.min() >= 0
    assert noisy.max() < 7


def test_noise_is_uniform_over_the_other_classes():
    labels = torch.zeros(30_000, dtype=torch.int64)
    noisy = noisy_labels(
        labels, share=0.9, kind="symmetric", num_classes=4, generator=generator(0, "n")
    )
    counts = torch.bincount(noisy, minlength=4)
    assert counts[0] == 3000
    assert (counts[1:] - 9000).abs().max() < 5 * (27_000 * (1 / 3) * (2 / 3)) ** 0.5


def test_pairwise_noise_changes_the_same_examples_to_the_next_class():
    labels = torch.arange(100) % 5
    pair, other = (
        noisy_labels(labels, share=0.4, kind=kind, num_classes=5, generator=generator(3, "n"))
        for kind in ("pairwise", "symmetric")
    )
    changed = pair != labels
    assert torch.equal(changed, other != labels)
    assert torch.equal(pair[changed], (labels[changed] + 1) % 5)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_less_noise_is_part_of_more_noise(kind):
    labels = torch.arange(100) % 5
    little, much = (
        noisy_labels(labels, share=share, kind=kind, num_classes=5, generator=generator(3, "n"))
        for share in (0.2, 0.6)
    )
    changed = little != labels
    assert (much[changed] == little[changed]).all()


@pytest.mark.parametrize("size", [0, -1, 0.0, 1.0, 1.5, True, float("nan"), 11])
def test_sizes_out_of_range(size):
    with pytest.raises(ValueError, match="val_size="):
        resolve_size(size, 10, name="val_size")


@pytest.mark.parametrize(("least", "most"), [(1, 0), (3, 2), (1, -1)])
def test_too_few_examples_are_told_without_an_empty_range(least, most):
    with pytest.raises(ValueError, match=r"2 examples are too few.* fewer classes"):
        resolve_size(0.1, 2, name="val_size", least=least, most=most)
