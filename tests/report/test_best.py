"""Each loss at its chosen rate, for TensorBoard's links."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslab.report import build, load_runs, prepare_board
from losslab.report.over_seeds import write_over_seeds
from losslab.tensorboard import PALETTE
from report.factory import tiny_plan, write_run, write_study

CHOSEN = {"cross_entropy lr=0.1", "mse lr=0.1", "mse_softmax lr=1"}


def record(path, *accuracies, **others):
    """Write the curve of a run, with a norm recorded between."""
    records = []
    for place, accuracy in enumerate(accuracies):
        at = {"step": place, "examples": 100 * place, "epoch": place, "wall_s": float(place)}
        records.append(at | {"optim/grad_norm": 1.0, "train/ece": 0.1})
        records.append(at | {"val/accuracy": accuracy})
    text = "".join(json.dumps(each) + "\n" for each in records)
    (path / "metrics.jsonl").write_text(text)


@pytest.fixture
def study(tmp_path):
    root = write_study(tmp_path / "tiny", tiny_plan())
    for path in root.glob("*/seed=*"):
        confirms = int(path.name.removeprefix("seed=")) >= 100
        record(path, 0.1, 0.75 if confirms else 0.5)
    return root


def names(root):
    return {path.name for path in (root / "best").iterdir()}


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def start(folder):
    return EventAccumulator(str(folder)).Reload().FirstEventTimestamp()


def test_a_study_has_a_run_a_loss_over_its_confirming_seeds(study):
    build(study)
    assert names(study) == CHOSEN
    found = scalars(study / "best" / "mse lr=0.1")
    curve = {0: pytest.approx(0.1), 100: 0.75}
    ends = {f"val/accuracy/{part}": curve for part in ("mean", "lo", "hi")}
    assert found == {"val/accuracy": curve, "optim/grad_norm": {0: 1.0, 100: 1.0}} | ends


def test_before_confirmation_it_is_over_the_tuning_seeds(tmp_path):
    plan = tiny_plan() | {"confirm": [], "chosen": {}}
    root = write_study(tmp_path / "tiny", plan)
    for path in root.glob("*/seed=*"):
        record(path, 0.1, 0.5)
    assert prepare_board(root) == [root / "best"]
    assert names(root) == CHOSEN
    assert scalars(root / "best" / "mse lr=0.1")["val/accuracy"][100] == 0.5


def test_conditions_are_the_second_word(tmp_path):
    plan = tiny_plan() | {"claims": []}
    text = json.dumps(plan | {"conditions": {"few": {"label": "2"}}, "axis": "classes"})
    for arm in plan["arms"]:
        text = text.replace(f'"{arm}": {{', f'"{arm}@few": {{')
        text = text.replace(f'"arm": "{arm}"', f'"arm": "{arm}@few"')
    data = json.loads(text)
    data["chosen"] = {f"{arm}@few": value for arm, value in plan["chosen"].items()}
    root = write_study(tmp_path / "tiny", plan)
    (root / "study.json").write_text(json.dumps(data))
    for path in root.glob("*/seed=*"):
        record(path, 0.1, 0.5)
    prepare_board(root)
    assert names(root) == {name.replace(" ", " few ") for name in CHOSEN}


def test_a_sweep_has_the_best_validated_configuration_of_each_loss(tmp_path):
    for loss, rate, accuracy in [("mse", 0.1, 0.8), ("mse", 0.3, 0.9), ("brier", 0.1, 0.7)]:
        for seed in (0, 1):
            config = {"loss": {}, "optimizer": {"lr": rate}, "seed": seed}
            name = f"{loss}-lr={rate}-0a/seed={seed}"
            record(write_run(tmp_path, name, accuracy=accuracy, config=config), 0.1, accuracy)
    build(tmp_path)
    assert names(tmp_path) == {"mse lr=0.3", "brier lr=0.1"}


def test_a_sweep_over_data_sets_has_the_best_configuration_on_each(tmp_path):
    for dataset, rate, accuracy in [("easy", 0.1, 0.9), ("easy", 0.3, 0.8), ("hard", 0.3, 0.6)]:
        size = {"easy": None, "hard": 100}[dataset]
        data = {"dataset": dataset, "train_size": size}
        config = {"loss": {}, "data": data, "optimizer": {"lr": rate}, "seed": 0}
        path = write_run(
            tmp_path, f"mse-{dataset}-{rate}-0a/seed=0", accuracy=accuracy, config=config
        )
        record(path, 0.1, accuracy)
    build(tmp_path)
    assert names(tmp_path) == {"mse data=easy lr=0.1", "mse data=hard train_size=100 lr=0.3"}


def test_losses_have_their_colours_in_the_order_of_their_runs(study):
    write_over_seeds(study, load_runs(study), None)
    prepare_board(study)
    first = min(start(path) for path in study.glob("over_seeds/*"))
    starts = {path.name.split()[0]: start(path) for path in study.glob("best/*")}
    assert max(starts.values()) < first
    order = sorted(starts, key=starts.get)
    # Black is nearest to slate, vermilion to pink, blue to cyan.
    assert PALETTE[:3] == ("#425066", "#12B5CB", "#E52592")
    assert order == ["cross_entropy", "mse_softmax", "mse"]


def test_what_is_chosen_no_more_goes_and_a_second_time_writes_nothing(study):
    prepare_board(study)
    before = {path: path.stat().st_mtime_ns for path in study.glob("best/*/*")}
    assert prepare_board(study.parent) == [study / "best"]
    assert {path: path.stat().st_mtime_ns for path in study.glob("best/*/*")} == before
    plan = tiny_plan()
    plan["chosen"]["mse"] = 1.0
    (study / "study.json").write_text(json.dumps(plan))
    prepare_board(study)
    assert names(study) == {name.replace("mse lr=0.1", "mse lr=1") for name in CHOSEN}


def test_a_part_of_a_study_leaves_it_alone(study, tmp_path):
    prepare_board(study)
    before = names(study)
    (group, *_) = sorted(study.glob("mse-*"))
    build(group, out=tmp_path / "out")
    assert prepare_board(group) == []
    assert names(study) == before
    assert not (group / "best").exists()


def test_a_name_cannot_lead_elsewhere(tmp_path):
    record(write_run(tmp_path / "sweep", "..-0a/seed=0", config={"loss": {}}), 0.1, 0.2)
    build(tmp_path / "sweep")
    assert names(tmp_path / "sweep") == {"_."}


def test_a_link_is_not_followed(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (study / "best").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"best.* is a symbolic link"):
        build(study)
    prepare_board(study)
    assert list((tmp_path / "mine").iterdir()) == []
