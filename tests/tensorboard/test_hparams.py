"""TensorBoard's HParams table, read back by TensorBoard's own back end."""

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
    metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

from losslab.recording import Recorder, Run
from losslab.tensorboard import RunWriter
from losslab.tensorboard.hparams import METRICS, with_table

COLUMNS = {
    "mse": {"loss": "mse", "loss.class_reduction": "mean", "optimizer.lr": 0.3, "flag": True},
    "focal": {"loss": "focal", "loss.gamma": 2.0, "optimizer.lr": 0.1, "flag": False},
}
ACCURACY = {("mse", 0): 0.5, ("mse", 1): 0.75, ("focal", 0): 0.25, ("focal", 1): 0.75}


class Table:
    """The HParams plugin's answer for a folder of runs."""

    def __init__(self, folder):
        multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0})
        multiplexer.AddRunsFromDirectory(str(folder)).Reload()
        provider = MultiplexerDataProvider(multiplexer, str(folder))
        context = base_plugin.TBContext(data_provider=provider, logdir=str(folder))
        back_end = backend_context.Context(context)
        request_context, experiment_id = RequestContext(), "losslab"
        self.experiment = get_experiment.Handler(
            request_context,
            back_end,
            experiment_id,
            api_pb2.GetExperimentRequest(experiment_name=""),
        ).run()
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0,
            slice_size=100,
            allowed_statuses=[
                api_pb2.STATUS_SUCCESS,
                api_pb2.STATUS_FAILURE,
                api_pb2.STATUS_RUNNING,
                api_pb2.STATUS_UNKNOWN,
            ],
            aggregation_type=api_pb2.AGGREGATION_AVG,
        )
        for info in self.experiment.metric_infos:
            request.col_params.add(metric=info.name)
        self.rows = {
            group.name: group
            for group in list_session_groups.Handler(
                request_context, back_end, experiment_id, request
            )
            .run()
            .session_groups
        }


def write(folder, loss: str, seed: int) -> None:
    run = Run.at(folder / loss / f"seed={seed}")
    run.path.mkdir(parents=True)
    writer = RunWriter(run, hyper_parameters=COLUMNS[loss], group=f"runs/{loss}")
    recorder = Recorder(run, views=[writer])
    for epoch in (1, 2):
        accuracy = ACCURACY[loss, seed] if epoch == 2 else 0.1
        recorder.record({"test/accuracy": accuracy}, step=epoch, examples=epoch, epoch=epoch)
    recorder.close(success=loss != "focal" or seed != 1)


def values(group) -> dict[str, object]:
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}


def test_one_row_a_configuration_with_the_union_of_all_columns(tmp_path):
    for loss, seed in ACCURACY:
        write(tmp_path, loss, seed)
    table = Table(tmp_path)
    columns = {info.name for info in table.experiment.hparam_infos}
    assert columns == {*COLUMNS["mse"], *COLUMNS["focal"]}
    assert {name: values(row) for name, row in table.rows.items()} == {
        f"runs/{loss}": columns for loss, columns in COLUMNS.items()
    }
    for loss in COLUMNS:
        row = table.rows[f"runs/{loss}"]
        assert len(row.sessions) == 2
        accuracy = {metric.name.tag: metric.value for metric in row.metric_values}
        assert accuracy == {"test/accuracy": (ACCURACY[loss, 0] + ACCURACY[loss, 1]) / 2}
    ended = sorted(session.status for session in table.rows["runs/focal"].sessions)
    assert ended == sorted([api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE])


def sessions(**runs):
    """Return what event files hold: of each run, its group and its hyper-parameters."""
    found = {}
    for run, (group, values) in runs.items():
        session = SessionStartInfo(group_name=group)
        for name, value in values.items():
            kind = {bool: "bool_value", float: "number_value", str: "string_value"}[type(value)]
            setattr(session.hparams[name], kind, value)
        data = HParamsPluginData(session_start_info=session)
        content = metadata.create_summary_metadata(data).plugin_data.content
        found[run] = {metadata.SESSION_START_INFO_TAG: content}
    return found


def table_of(**runs):
    """Return columns, metrics, and each row's name with its values."""
    contents = with_table(sessions(**runs))
    (record,) = (tags[metadata.EXPERIMENT_TAG] for tags in contents.values()
                 if metadata.EXPERIMENT_TAG in tags)  # fmt: skip
    experiment = metadata.parse_experiment_plugin_data(record)
    rows = {}
    for tags in contents.values():
        start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        rows[start.group_name] = values(start)
    metrics = [info.name.tag for info in experiment.metric_infos]
    return [info.name for info in experiment.hparam_infos], metrics, rows


RAW = {"loss": "mse", "loss.activation": "none", "model.width": 8.0, "optimizer.lr": 0.3}
SOFTMAX = {"loss": "mse_softmax", "loss.activation": "softmax", "model.width": 8.0}


def test_the_columns_are_what_varies_but_not_what_the_loss_settles():
    columns, metrics, rows = table_of(
        a=("study/mse-lr=0.3-0a0a0a0a", RAW),
        b=("study/mse_softmax-lr=1.0-0b0b0b0b", SOFTMAX | {"optimizer.lr": 1.0}),
    )
    assert columns == ["loss", "optimizer.lr"]
    assert metrics == list(METRICS)
    assert set(rows) == {"mse lr=0.3", "mse_softmax lr=1"}
    assert rows["mse lr=0.3"] == RAW


def test_nor_what_another_choice_settles():
    sgd = {"loss": "mse", "optimizer": "sgd", "optimizer.momentum": 0.9}
    columns, _, rows = table_of(
        a=("study/a", sgd | {"optimizer.weight_decay": 0.0}),
        b=("study/b", sgd | {"optimizer.weight_decay": 0.001}),
        c=("study/c", {"loss": "mse", "optimizer": "adam", "optimizer.weight_decay": 0.0}),
    )
    assert columns == ["loss", "optimizer", "optimizer.weight_decay"]
    assert set(rows) == {f"mse optimizer=sgd weight_decay={v}" for v in ("0", "0.001")} | {
        "mse optimizer=adam weight_decay=0"
    }


def test_the_first_five_columns_of_many_have_loss_optimizer_and_rate():
    keys = ["data.digits", "data.num_classes", "data.train_size", "loss.gamma", "optimizer.lr"]
    runs = [
        {"loss": loss, "optimizer": optimizer} | dict.fromkeys(keys, value)
        for loss, optimizer, value in (
            ("mse", "sgd", 1.0),
            ("focal", "adam", 2.0),
            ("mse", "adam", 3.0),
        )
    ]
    contents = with_table(sessions(**{f"r{n}": (f"s/{n}", run) for n, run in enumerate(runs)}))
    (record,) = [
        t[metadata.EXPERIMENT_TAG] for t in contents.values() if metadata.EXPERIMENT_TAG in t
    ]
    infos = metadata.parse_experiment_plugin_data(record).hparam_infos
    # TensorBoard's own order: those that differ first, then by name.
    first = sorted(infos, key=lambda info: (not info.differs, info.name))[:5]
    assert [info.name for info in first] == [
        "data.digits", "loss", "loss.gamma", "optimizer", "optimizer.lr",
    ]  # fmt: skip


def test_a_value_that_a_loss_lacks_is_there_as_a_word():
    columns, _, rows = table_of(
        a=("study/focal-0a", {"loss": "focal", "loss.gamma": 1.0}),
        b=("study/focal-0b", {"loss": "focal", "loss.gamma": 2.0}),
        c=("study/mse-0c", {"loss": "mse"}),
    )
    assert columns == ["loss", "loss.gamma"]
    assert {name: row.get("loss.gamma") for name, row in rows.items()} == {
        "focal gamma=1": 1.0, "focal gamma=2": 2.0, "mse": "none",
    }  # fmt: skip


def test_rows_that_would_have_one_name_have_their_hash_or_their_study():
    _, _, rows = table_of(a=("study/mse-0a", RAW), b=("study/mse-0b", RAW))
    assert set(rows) == {"mse 0a", "mse 0b"}
    _, _, rows = table_of(a=("one/mse-0a", RAW), b=("other/mse-0a", RAW))
    assert set(rows) == {"one/mse", "other/mse"}
    _, _, rows = table_of(a=("study/mse-0a", RAW), b=("study/mse-0a", RAW))
    assert set(rows) == {"mse"}  # two seeds


def test_what_others_wrote_stays_as_it_is():
    assert with_table({"a": {"tag": b"content"}}) == {"a": {"tag": b"content"}}
    theirs = sessions(a=("study/mse-0a", RAW))
    theirs["a"][metadata.EXPERIMENT_TAG] = b"record"
    assert with_table(theirs) == theirs
