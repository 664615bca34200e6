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
)

from losslab.recording import Recorder, Run
from losslab.tensorboard import RunWriter

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
