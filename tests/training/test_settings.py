import inspect

import pytest
import torch

from losslab.training import Trainer, configure_process, fit, resolve_device


@pytest.mark.parametrize(
    ("given", "steps"), [({"epochs": 3}, 36), ({"steps": 5}, 5), ({"epochs": 3, "steps": 5}, 5)]
)
def test_steps_win_over_epochs(given, steps):
    assert Trainer(batch_size=32, **given).total_steps(12) == steps


COUNTS = (
    *("batch_size", "epochs", "steps", "threads", "log_every", "checkpoint_every"),
    *("pictures_every", "histograms_every"),
)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_counts_are_whole_numbers_from_one_up(name, value):
    settings = {"batch_size": 32, "epochs": 1} | {name: value}
    with pytest.raises(ValueError, match=rf"trainer\.{name}={value}; give a whole number"):
        Trainer(**settings)


def test_images_can_be_left_out():
    settings = Trainer(batch_size=32, epochs=1, pictures_every=None, histograms_every=None)
    assert (settings.pictures_every, settings.histograms_every) == (None, None)


@pytest.mark.parametrize("name", ["deterministic", "channels_last", "all_tags"])
def test_switches_are_true_or_false(name):
    with pytest.raises(ValueError, match=rf"trainer\.{name}=1; give true or false"):
        Trainer(batch_size=32, epochs=1, **{name: 1})


def test_precision_and_length_are_checked():
    with pytest.raises(ValueError, match=r"float16; allowed are float32, tf32, bfloat16"):
        Trainer(batch_size=32, epochs=1, precision="float16")
    with pytest.raises(ValueError, match=r"both null"):
        Trainer(batch_size=32)
    assert set(COUNTS) < set(inspect.signature(Trainer).parameters)


def test_fit_leaves_torchs_switches_alone():
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match=r"precision=tf32 is a global setting"):
        fit(model, loss, optimizer, train=train, epochs=1, precision="tf32")


@pytest.mark.parametrize("name", ["cdua", "cuda:99", "gpu", ""])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=rf"trainer\.device={name} is unavailable.*auto.*cpu"):
        resolve_device(name)


@pytest.mark.parametrize("deterministic", [True, False])
def test_each_run_sets_the_process_anew(deterministic):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        options = {"batch_size": 32, "epochs": 1}
        other = Trainer(threads=2, deterministic=not deterministic, precision="tf32", **options)
        configure_process(other)
        assert torch.backends.cudnn.allow_tf32
        configure_process(Trainer(deterministic=deterministic, **options))
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.deterministic is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
