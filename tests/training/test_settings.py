import inspect

import pytest
import torch

from losslab.training import Trainer, configure_process, fit, process_kept, resolve_device
from losslab.types import Finding


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


INPUTS, LABELS = torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])
EXAMPLES, NO_EXAMPLES = (INPUTS, LABELS), (INPUTS[:0], LABELS[:0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val": (INPUTS, LABELS + 5)}, "val has labels in 5…7; allowed are 0…2 for a model"),
        ({"val": (INPUTS, LABELS - 1)}, "val has labels in -1…1; allowed are 0…2"),
        ({"train": (INPUTS, LABELS + 1)}, "train has labels in 1…3; allowed are 0…2"),
        ({"train": (INPUTS.numpy(), LABELS.numpy())}, "train is a ndarray and a ndarray; give two"),
        ({"val": (INPUTS, LABELS[:3])}, "val has 4 inputs with labels of torch.int64 and shape"),
        ({"val": NO_EXAMPLES}, "val has no examples; give at least one, or leave val out"),
        ({"train": NO_EXAMPLES}, "train has no examples; give at least one"),
        ({"epochs": None}, "epochs=None and steps=None; give exactly one of them"),
        ({"steps": 3}, "epochs=1 and steps=3; give exactly one of them"),
        ({"epochs": 0}, "^epochs=0; give a whole number ≥ 1"),
        ({"log_every": 0}, "^log_every=0; give a whole number ≥ 1"),
        ({"seed": -1}, r"seed=-1; give a whole number ≥ 0, below 2\*\*63"),
        ({"seed": 2**70}, f"seed={2**70}; give a whole number"),
        ({"seed": 0.5}, "seed=0.5; give a whole number"),
        ({"model": torch.nn.Flatten()}, "Flatten has no parameters; give a model to train"),
        ({"model": torch.nn.Linear(2, 3)}, "the optimizer has no parameter of this model"),
        ({"model": "frozen"}, "the optimizer has no parameter of this model that requires"),
        ({"model": "flat"}, r"the model returns outputs of shape \(12,\); give logits \(N, K\)"),
    ],
)
def test_fit_refuses_in_one_line_and_trains_nothing(changed, message):
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.clone()
    arguments = {"model": model, "train": EXAMPLES, "epochs": 1, **changed}
    if arguments["model"] == "frozen":
        arguments["model"] = model.requires_grad_(False)
    if arguments["model"] == "flat":
        arguments["model"] = torch.nn.Sequential(model, torch.nn.Flatten(0))
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match=message) as error:
        fit(loss=loss, optimizer=optimizer, **arguments)
    assert "\n" not in str(error.value)
    assert torch.equal(model.weight, before)
    assert model.training


def test_counting_the_outputs_draws_no_random_numbers_and_leaves_the_model_as_it_is():
    class Noisy(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x + torch.rand(len(x), 1))  # in evaluation, too

    seen = {}
    for count in (1, 4):  # with fewer examples than the batch size, and as many
        torch.manual_seed(0)
        model = Noisy(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 3))
        state = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def keep(epochs, scalars, epoch, last, outputs, model=model, state=state):
            if epochs == 0:
                now = model.state_dict()
                seen["same"] = all(torch.equal(state[name], now[name]) for name in state)
                seen["next"] = torch.rand(1)
            return Finding({}, {})

        torch.manual_seed(7)
        part = INPUTS.repeat(count, 1), LABELS.repeat(count)
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        fit(model, loss, optimizer, train=part, epochs=1, batch_size=8, diagnose=keep)
        torch.manual_seed(7)
        assert (seen["same"], seen["next"]) == (True, torch.rand(1))


@pytest.mark.parametrize("name", ["cdua", "cuda:99", "gpu", ""])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=rf"trainer\.device={name} is unavailable.*auto.*cpu"):
        resolve_device(name)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("own", ["ieee", "tf32"])
def test_a_notebook_may_set_the_precision_of_float32_in_the_new_way(own, precision):
    # Reading torch's old settings is then an error where they disagree.
    parts = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    with process_kept(), torch.backends.flags(fp32_precision=own):
        for part in parts:
            part.fp32_precision = own
        with process_kept():
            configure_process(Trainer(batch_size=32, epochs=1, precision=precision))
            expected = "tf32" if precision == "tf32" else "ieee"
            assert [part.fp32_precision for part in parts] == [expected] * 3
            assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
            assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
        assert [part.fp32_precision for part in parts] == [own] * 3


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
