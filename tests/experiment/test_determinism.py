"""The same command gives the same weights; what cannot change a result does not."""

import pytest
import torch

from losslab.data import BatchLoader
from losslab.experiment.dry_run import EXAMPLES
from losslab.training import TrainingStep
from running import records, results, status

CNN = ("model=small_cnn", "model.width=4")


@pytest.mark.parametrize("more", [(), CNN, (*CNN, "trainer.precision=bfloat16")])
def test_the_same_configuration_twice_is_equal_to_the_bit(losslab, more):
    first, second = losslab.run(*more), losslab.run(*more)
    assert status(first) == "done"
    assert results(first) == results(second)
    assert records(first) == records(second)


@pytest.mark.slow
def test_augmentation_is_drawn_from_the_seed(losslab):
    more = (
        "data.augmentation={_target_: losslab.data.Augmentation, flip: true, padding: 2}",
        "trainer.epochs=1",
    )
    first, second, plain = losslab.run(*more), losslab.run(*more), losslab.run("trainer.epochs=1")
    assert results(first) == results(second)
    assert results(first) != results(plain)


@pytest.mark.slow
def test_a_model_of_ones_own_may_draw_and_may_be_lazy(losslab):
    (losslab.folder / "my_model.py").write_text(
        "from torch import nn\n"
        "def net(input_shape, num_classes):\n"
        "    layers = nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(num_classes)\n"
        "    return nn.Sequential(*layers)\n"
    )
    choice = losslab.folder / "my_conf" / "model" / "net.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text("_target_: my_model.net\n")
    more = ("--config-dir", "my_conf", "model=net")
    first = losslab.run(*more)
    torch.manual_seed(1)
    assert results(losslab.run(*more)) == results(first)
    other = losslab.run(*more, "seed=1")
    assert results(other) != results(first)


def test_another_seed_is_another_run(losslab):
    losslab.sweep("seed=0,1")
    zero, one = losslab.runs()
    assert zero.parent == one.parent
    assert results(zero)["model.safetensors"] != results(one)["model.safetensors"]


@pytest.mark.slow
def test_diagnostics_change_nothing_that_is_trained(losslab):
    none, every = (losslab.run(*CNN, f"diagnostics={choice}") for choice in ("none", "all"))
    for name in ("model.safetensors", "predictions.safetensors"):
        assert results(none)[name] == results(every)[name]


WITHOUT_EFFECT = (
    "trainer.log_every=1",
    "trainer.checkpoint_every=3",
    "force=true",
    "output_dir=elsewhere",
)


@pytest.mark.slow
def test_what_cannot_change_a_result_changes_neither_weights_nor_group(losslab):
    plain = losslab.run()
    for number, override in enumerate(WITHOUT_EFFECT):
        result = losslab.train(override, f"name=other{number}")
        (other,) = losslab.folder.glob(f"*/other{number}/*/seed=*")
        assert str(other.relative_to(losslab.folder)) in result.out
        assert other.parent.name == plain.parent.name
        assert results(other) == results(plain)


def test_the_last_step_is_recorded_whatever_the_cadence(losslab):
    often, seldom = losslab.run("trainer.log_every=1"), losslab.run("trainer.log_every=1000")
    assert records(often)[-3:] == records(seldom)[-3:]
    assert results(often) == results(seldom)


@pytest.mark.slow
def test_pictures_change_nothing_but_tensorboards_file(losslab):
    all_of_them = ("trainer.pictures_every=1", "trainer.histograms_every=1", "diagnostics=all")
    none = ("trainer.pictures_every=null", "trainer.histograms_every=null", "diagnostics=all")
    drawn, plain = losslab.run(*all_of_them), losslab.run(*none)
    assert drawn.parent.name == plain.parent.name
    assert results(drawn) == results(plain)
    assert records(drawn) == records(plain)
    sizes = [next(run.glob("events*")).stat().st_size for run in (drawn, plain)]
    assert sizes[0] > sizes[1] + 50_000


LOSSES = ("cross_entropy", "mse", "brier", "map_gaussian")


@pytest.mark.slow
def test_every_loss_starts_with_the_same_weights_and_sees_the_same_batches(losslab, monkeypatch):
    seen: dict[str, list[bytes]] = {}
    epoch, update = BatchLoader.epoch, TrainingStep.update

    def spied_epoch(self, *arguments, **options):
        for batch in epoch(self, *arguments, **options):
            if self.num_examples > EXAMPLES:  # not in the dry run
                seen[loss].append(batch.images.contiguous().numpy().tobytes())
                seen[loss].append(batch.labels.numpy().tobytes())
            yield batch

    def spied_update(self, batch):
        if not seen[loss][2:]:
            weights = [parameter.detach().flatten() for parameter in self.parameters]
            seen[loss].append(torch.cat(weights).numpy().tobytes())
        return update(self, batch)

    monkeypatch.setattr(BatchLoader, "epoch", spied_epoch)
    monkeypatch.setattr(TrainingStep, "update", spied_update)
    for loss in LOSSES:
        seen[loss] = []
        losslab.train(f"loss={loss}", "seed=3", *CNN)
    assert len(seen["mse"]) == 1 + 2 * 24
    for loss in LOSSES:
        assert seen[loss] == seen["cross_entropy"], loss
    assert len({path.parent for path in losslab.runs()}) == len(LOSSES)


def test_the_global_stream_of_random_numbers_has_no_say(losslab):
    torch.manual_seed(1)
    first = losslab.run()
    torch.manual_seed(2)
    assert results(losslab.run()) == results(first)


def test_training_leaves_the_callers_random_numbers_alone(losslab):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    losslab.run()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_prior_is_weight_decay_through_the_whole_road(losslab):
    # Gaussian prior of σ over N = 384 examples: weight decay 1/(σ² N), for plain SGD.
    std = 0.25
    prior = losslab.run("loss=map_gaussian", f"loss.prior.std={std}", *CNN)
    decay = losslab.run("optimizer.weight_decay=" + repr(1 / (std**2 * 384)), *CNN)
    none = losslab.run(*CNN)
    weights = {
        path: torch.cat([value.flatten() for value in load(path).values()])
        for path in (prior, decay, none)
    }
    torch.testing.assert_close(weights[prior], weights[decay], rtol=1e-4, atol=1e-5)
    assert (weights[prior] - weights[none]).abs().max() > 1e-2


def load(run):
    from safetensors.torch import load_file

    return load_file(run / "model.safetensors")
