import copy
import gc
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch._subclasses import FakeTensorMode

from cases import LOSSES
from losslab import models
from losslab.data import Augmentation, BatchLoader, Part
from losslab.losses import (
    MAP,
    CrossEntropy,
    FlatPrior,
    GaussianPrior,
    GradientSwap,
    LaplacePrior,
    SquaredError,
)
from losslab.training import Constant, Cosine, Loop, Stack, Trainer, TrainingStep, pack

NUM_CLASSES, BATCH_SIZE = 3, 4
MODELS = {
    "linear": models.Linear,
    "mlp": partial(models.MLP, width=5, normalization="layer"),
    "small_cnn": partial(models.SmallCNN, width=2, normalization="batch"),
    "deep_cnn": partial(models.DeepCNN, width=2, normalization="group"),
    "resnet20": partial(models.ResNet20, width=2, normalization="batch"),
    "whitened_cnn": partial(models.WhitenedCNN, width=2, flip_average=True),
}
# Settings of each lane in turn; a step is small enough for rounding not to be blown up.
OPTIMIZERS = {
    "sgd": (
        torch.optim.SGD,
        [
            {"lr": 0.0002},
            {"lr": 0.0001, "momentum": 0.9, "weight_decay": 0.1},
            {"lr": 0.0002, "momentum": 0.5, "nesterov": True},
            {"lr": 0.0002, "momentum": 0.9, "dampening": 0.5},
            {"lr": 0.00002, "weight_decay": 0.1, "maximize": True},
        ],
    ),
    "adam": (
        torch.optim.Adam,
        [
            {"lr": 0.001, "eps": 1e-2},
            {"lr": 0.0002, "betas": (0.8, 0.99), "weight_decay": 0.1, "eps": 1e-2},
            {"lr": 0.001, "amsgrad": True, "eps": 1e-2},
            {"lr": 0.0001, "weight_decay": 0.1, "maximize": True, "eps": 1e-2},
        ],
    ),
    "adamw": (
        torch.optim.AdamW,
        [{"lr": 0.001, "eps": 1e-2}, {"lr": 0.0002, "weight_decay": 0.2, "eps": 1e-2}],
    ),
}


def part(seed: int = 0, *, count: int = 18, channels: int = 1, dtype=torch.float64) -> Part:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, channels, 12, 12, generator=generator, dtype=torch.float64)
    labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
    return Part(images.to(dtype), labels, labels)


class Custom(torch.nn.Module):
    """A custom likelihood."""

    def forward(self, logits, target):
        return (logits - torch.nn.functional.one_hot(target, NUM_CLASSES)).abs().pow(1.5).sum(1)


LIKELIHOODS = [case.make for case in LOSSES] + [partial(CrossEntropy, 0.2), Custom]
PRIORS = [FlatPrior(), FlatPrior(), GaussianPrior(std=0.5), LaplacePrior(scale=0.5)]


def make_loop(
    lane: int,
    *,
    model="linear",
    optimizer="sgd",
    steps=20,
    dtype=torch.float64,
    train=None,
    val=None,
    likelihood=None,
    device="cpu",
    network=None,
    **more,
) -> Loop:
    torch.manual_seed(lane)
    network = network or MODELS[model]((1, 12, 12), NUM_CLASSES).to(device, dtype)
    kind, settings = OPTIMIZERS[optimizer]
    parameters = list(network.parameters())
    objective = MAP(
        (likelihood or LIKELIHOODS[lane % len(LIKELIHOODS)])(),
        PRIORS[lane % len(PRIORS)],
        num_train=50,
    )
    settings = settings[lane % len(settings)]
    step = TrainingStep(network, objective, kind(parameters, **settings), parameters)
    loader = partial(BatchLoader, batch_size=BATCH_SIZE, device=device)
    return Loop(
        step=step,
        schedule=Cosine() if lane % 2 else Constant(),
        settings=Trainer(batch_size=BATCH_SIZE, steps=steps, log_every=7),
        train=train or loader(part(dtype=dtype)),
        val=val,
        seed=lane,
        **more,
    )


def distance(loop: Loop, other: Loop) -> float:
    """Return the largest difference of weights and buffers, relative to the largest value."""
    pairs = zip(
        loop.step.model.state_dict().values(), other.step.model.state_dict().values(), strict=True
    )
    return max(
        ((a - b).abs().max() / (1 + b.abs().max())).item() if a.numel() else 0.0 for a, b in pairs
    )


def without_times(record):
    return {tag: value for tag, value in record.items() if not tag.startswith("time/")}


def assert_alike(loops, others, *, within):
    for one, other in zip(loops, others, strict=True):
        assert one.diverged == other.diverged
        assert distance(other, one) < within
        for before, after in zip(one.history, other.history, strict=True):
            expected = pytest.approx(without_times(before), rel=within, abs=within)
            assert without_times(after) == expected


def run_all(loops):
    for loop in loops:
        loop.run()
    return loops


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("steps", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_a_stack_trains_as_one_run_after_another(model, optimizer, steps):
    make = partial(make_loop, model=model, optimizer=optimizer, steps=steps)
    lanes = range(len(LIKELIHOODS))
    if model in ("deep_cnn", "resnet20", "whitened_cnn"):  # one after another they take minutes
        lanes = lanes[::4] if steps > 3 else lanes[::5]  # every prior, and all of the settings
    stacked = [make(lane) for lane in lanes]
    Stack(stacked, size=len(stacked) + 1).run()
    # Its normalisation of pooled maxima blows rounding up: 2e-9 were seen.
    within = 1e-8 if model == "whitened_cnn" else 1e-9
    assert_alike(run_all([make(lane) for lane in lanes]), stacked, within=within)


def test_float32_agrees_to_five_digits():
    make = partial(make_loop, model="small_cnn", steps=60, dtype=torch.float32)
    stacked = [make(lane) for lane in range(4)]
    Stack(stacked, size=4).run()
    assert_alike(run_all([make(lane) for lane in range(4)]), stacked, within=1e-5)


def test_a_lane_has_the_same_bits_whatever_the_others_hold():
    val = BatchLoader(part(9, dtype=torch.float32), batch_size=BATCH_SIZE)
    make = partial(make_loop, model="small_cnn", steps=10, dtype=torch.float32, val=val)
    found = []
    for others in ([], [1, 2, 3, 4, 5], [5, 3, 9], [7]):
        mine = make(6)
        place = len(others) // 2
        Stack([*map(make, others[:place]), mine, *map(make, others[place:])], size=6).run()
        found.append(mine)
    for other in found[1:]:
        assert distance(other, found[0]) == 0.0
        assert list(map(without_times, other.history)) == list(map(without_times, found[0].history))


def test_lanes_of_a_loss_that_depends_on_its_batch_are_not_mixed():
    swap = partial(GradientSwap, "cross_entropy", "mse_softmax", "cross_entropy")
    make = partial(make_loop, model="small_cnn", steps=10, likelihood=swap)
    alone, stacked = run_all([make(lane) for lane in range(3)]), [make(lane) for lane in range(3)]
    Stack(stacked, size=5).run()
    assert_alike(alone, stacked, within=1e-9)
    by_itself = make(0)
    Stack([by_itself], size=5).run()
    assert distance(by_itself, stacked[[loop.seed for loop in stacked].index(0)]) == 0.0


def test_each_lane_has_its_own_data_augmentation_and_noise():
    def loader(seed):
        return BatchLoader(
            replace(part(seed), images=(100 * part(seed).images).to(torch.uint8)),
            batch_size=BATCH_SIZE,
            mean=(0.1 * seed,),
            std=(1.0 + seed,),
            augmentation=Augmentation(flip=True, padding=2),
        )

    loaders = [loader(seed) for seed in range(2)]
    val = BatchLoader(part(9, dtype=torch.float32), batch_size=BATCH_SIZE)

    def make(lane):
        return make_loop(lane, train=loaders[lane % 2], val=val, dtype=torch.float32, steps=12)

    stacked = [make(lane) for lane in range(5)]
    Stack(stacked, size=5).run()
    assert_alike(run_all([make(lane) for lane in range(5)]), stacked, within=1e-5)
    assert "val/accuracy" in stacked[0].scalars


def test_validation_uses_the_running_statistics_of_each_lane():
    val = BatchLoader(part(9), batch_size=BATCH_SIZE)
    make = partial(make_loop, model="small_cnn", steps=6, val=val)  # batch normalisation
    stacked = [make(lane) for lane in range(2)]
    Stack(stacked, size=3).run()
    assert_alike(run_all([make(lane) for lane in range(2)]), stacked, within=1e-6)
    assert "val/nll" in stacked[0].history[0]


def test_one_lane_diverges_and_the_others_go_on():
    train = BatchLoader(part(count=300), batch_size=BATCH_SIZE)

    def make(lane):
        loop = make_loop(lane, likelihood=partial(SquaredError, "none"), steps=150, train=train)
        # Its objective overflows within an epoch, its weights not yet.
        loop.step.optimizer.param_groups[0]["lr"] *= 2e6 if lane == 0 else 1
        return replace(loop)

    alone, stacked = run_all([make(lane) for lane in range(3)]), [make(lane) for lane in range(3)]
    Stack(stacked, size=4).run()
    assert [loop.diverged for loop in stacked] == [True, False, False]
    assert [loop.steps_done for loop in stacked] == [50, 150, 150]
    assert_alike(alone[1:], stacked[1:], within=1e-9)
    # With the weights that it had when it was found to have diverged.
    for one, other in zip(alone[0].step.parameters, stacked[0].step.parameters, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(other, one, rtol=1e-9, atol=0.0)
    assert stacked[0].scalars.keys() == alone[0].scalars.keys()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("steps", [13, 15])  # a shorter last epoch lets all lanes end together
def test_lanes_resume_from_different_places(optimizer, steps):
    make = partial(make_loop, optimizer=optimizer, model="small_cnn", steps=steps)
    whole = [make(lane) for lane in range(3)]
    Stack(whole, size=3).run()

    resumed = []
    for lane, epochs in enumerate((0, 1, 2)):
        saved = []
        before = make(lane, save=lambda state, saved=saved: saved.append(copy.deepcopy(state)))
        Stack([before], size=3).run()
        loop = make(lane)
        if epochs:
            loop.restore(saved[epochs - 1])
        resumed.append(loop)
    assert [loop.steps_done for loop in resumed] == [0, 5, 10]
    Stack(resumed, size=3).run()
    for one, other in zip(whole, resumed, strict=True):
        assert distance(other, one) == 0.0


class Drawing(torch.nn.Module):
    """A model that draws while it trains."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(144, NUM_CLASSES)
        )

    def forward(self, images):
        return self.layers(images)


def spoil(loop, what):
    match what:
        case "network":
            loop.step = make_loop(0, model="mlp").step
        case "size":
            loop.train = BatchLoader(part(count=19), batch_size=BATCH_SIZE)
        case "frozen":
            loop.step.parameters[0].requires_grad_(False)
        case "optimizer":
            parameters = loop.step.parameters
            loop.step = TrainingStep(
                loop.step.model, loop.step.objective, torch.optim.RMSprop(parameters), parameters
            )
        case "groups":
            loop.step.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
        case "bfloat16":
            loop.step = TrainingStep(*vars(loop.step).values())
            object.__setattr__(loop.step, "autocast", torch.bfloat16)
        case "loss":
            loop.step.objective.likelihood.temperature = torch.nn.Parameter(torch.zeros(()))
    return loop


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("network", "models of different architecture"),
        ("size", "training parts of different size"),
        ("frozen", "frozen parameters"),
        ("optimizer", "RMSprop"),
        ("groups", "several groups"),
        ("bfloat16", "precision bfloat16"),
        ("loss", "a loss with parameters"),
    ],
)
def test_what_cannot_be_stacked_is_refused(what, says):
    with pytest.raises(ValueError, match=says):
        Stack([make_loop(0), spoil(make_loop(1), what)], size=2)


def test_a_model_that_draws_is_refused():
    loop = make_loop(0)
    model = Drawing().double()
    parameters = list(model.parameters())
    loop.step = TrainingStep(
        model, loop.step.objective, torch.optim.SGD(parameters, lr=0.1), parameters
    )
    with pytest.raises(ValueError, match="Drawing cannot be stacked"):
        Stack([loop], size=1)


def test_a_run_saves_its_own_lane_alone():
    sizes = {}
    for engine in ("alone", "stacked"):
        saved = sizes[engine] = []
        loops = [
            make_loop(
                lane, optimizer="adam", save=lambda state, to=saved: to.append(len(pack(state)))
            )
            for lane in range(4)
        ]
        run_all(loops) if engine == "alone" else Stack(loops, size=32).run()
    assert max(sizes["stacked"]) < max(sizes["alone"]) + 1000  # and not 32 times as large


def test_the_memory_of_a_stack_is_freed_at_once():
    stack = Stack([make_loop(0)], size=2)
    stack.run()
    freed = weakref.ref(stack)
    gc.disable()  # which does not know how full a GPU is
    try:
        del stack
        assert freed() is None
    finally:
        gc.enable()


# Without a GPU: fake tensors have shapes and a device, but no numbers. An operation on tensors of
# two devices is an error, and so is one for which the CPU would have to wait for numbers, which a
# CUDA graph cannot hold. Autograd asks for a real device of every kind but this.
FAKE = "meta"


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + torch.ones(3),
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: bool(x.isfinite().all()),
    ],
)
def test_what_a_graph_cannot_hold_is_an_error_of_fake_tensors(operation):
    with (
        FakeTensorMode(),
        pytest.raises(Exception, match=r"same device|_local_scalar_dense|nonzero"),
    ):
        operation(torch.randn(2, 3, device=FAKE))


class Captured(Exception):  # noqa: N818  # no error
    """Ends training after the first step."""


@pytest.mark.skipif(torch.__version__ < (2, 15), reason="fake tensors of older torch differ")
@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        *(("linear", optimizer) for optimizer in OPTIMIZERS),
        *((model, "sgd") for model in ("mlp", "small_cnn", "deep_cnn", "whitened_cnn")),
    ],
)
def test_a_graph_can_hold_the_steps(model, optimizer, monkeypatch):
    every_loss = (model, optimizer) == ("linear", "sgd")
    likelihoods = [*LIKELIHOODS, GradientSwap] if every_loss else LIKELIHOODS[:2]

    def capture(step, *, keep):
        def once(*arguments):
            tensors = *keep, *arguments, *step(*arguments)
            assert {tensor.device.type for tensor in tensors} == {FAKE}
            raise Captured

        return once

    for module in ("stack", "step"):
        monkeypatch.setattr(f"losslab.training.{module}.capture", capture)
    with FakeTensorMode():
        examples = part()
        loader = BatchLoader(
            replace(examples, images=examples.images.to(torch.uint8)),
            batch_size=BATCH_SIZE,
            mean=[0.5],
            std=[0.5],
            device=FAKE,
            channels_last=True,
            augmentation=Augmentation(),
        )
        loops = []
        for lane, likelihood in enumerate(likelihoods):
            with torch.device(FAKE):
                network = MODELS[model]((1, 12, 12), NUM_CLASSES)
            options = {"optimizer": optimizer, "likelihood": likelihood, "train": loader}
            loops.append(make_loop(lane, network=network, **options))
        for loop in loops:
            with pytest.raises(Captured):
                loop.step.replayed()(next(loader.epoch(0, 0)))
        with pytest.raises(Captured):
            Stack(loops, size=len(loops)).run()
