"""Adapt TensorBoard's HParams table to its runs: few columns, and rows with readable names.

TensorBoard uses the first experiment record that it finds for all runs below its folder. Runs
therefore write none, and ``losslab board`` supplies one that fits the runs at each request.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

METRICS = ("test/accuracy", "val/accuracy", "test/nll", "test/ece", "val/nll", "val/ece")
"""The metric columns; TensorBoard selects the first five."""

_MOST_SELECTED = 5  # columns that TensorBoard selects: those that differ, by name
_ABSENT = "none"  # for a missing argument, as parallel coordinates leave out empty cells

Contents = Mapping[str, Mapping[str, bytes]]
Values = dict[str, Any]


def with_table(contents: Contents) -> Contents:
    """Return the HParams content of the runs, with one experiment record for all.

    ``contents`` maps run and tag to serialized content. Columns are the loss, varied keys that do
    not follow from a choice (as momentum from SGD), and :data:`METRICS`; TensorBoard
    selects five, among them loss, optimizer and learning rate. Rows have names such as
    ``mse lr=0.03``, with the study if there are several, and the hash if names would be equal. Runs
    of other programs are left unchanged.
    """
    sessions = {
        run: metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        for run, tags in contents.items()
        if metadata.SESSION_START_INFO_TAG in tags
    }
    if not sessions or any(metadata.EXPERIMENT_TAG in tags for tags in contents.values()):
        return contents
    values = {run: _values(session) for run, session in sessions.items()}
    columns = _columns(list(values.values()))
    names = _names({s.group_name: values[run] for run, s in sessions.items()}, columns)
    adapted: dict[str, Mapping[str, bytes]] = dict(contents)
    for run, session in sessions.items():
        named = SessionStartInfo()
        named.CopyFrom(session)
        named.group_name = names.get(session.group_name, session.group_name)
        for name in columns:
            if name not in values[run]:
                named.hparams[name].string_value = _ABSENT
        started = _content(HParamsPluginData(session_start_info=named))
        adapted[run] = {**contents[run], metadata.SESSION_START_INFO_TAG: started}
    selected = sorted(columns, key=_rank)[:_MOST_SELECTED]
    experiment = api_pb2.Experiment(
        hparam_infos=[
            _column(name, [each.get(name) for each in values.values()], select=name in selected)
            for name in columns
        ],
        metric_infos=[api_pb2.MetricInfo(name={"tag": tag}) for tag in METRICS],
    )
    first = next(iter(sessions))
    record = _content(HParamsPluginData(experiment=experiment))
    adapted[first] = {**adapted[first], metadata.EXPERIMENT_TAG: record}
    return adapted


def _columns(configurations: list[Values]) -> list[str]:
    """Return the loss and the varied keys, those that all configurations have first."""
    # Maps in protocol buffers are unordered.
    keys = sorted(set().union(*configurations), key=lambda key: (key != "loss", key))

    def count(*keys: str) -> int:
        return len({tuple(repr(values.get(key)) for key in keys) for values in configurations})

    def is_column(key: str) -> bool:
        group, _, argument = key.partition(".")
        follows = argument and group in keys and count(group, key) == count(group)
        return key == "loss" or (count(key) > 1 and not follows)

    missing = {key: any(key not in values for values in configurations) for key in keys}
    return sorted(filter(is_column, keys), key=missing.__getitem__)


def _names(groups: Mapping[str, Values], columns: Collection[str]) -> dict[str, str]:
    studies = {group.rpartition("/")[0] for group in groups}
    names: dict[str, str] = {}
    for group, values in groups.items():
        varied = [column for column in columns if column != "loss" and column in values]
        words = [f"{column.rpartition('.')[2]}={_text(values[column])}" for column in varied]
        study = f"{group.rpartition('/')[0]}/" if len(studies) > 1 else ""
        names[group] = study + " ".join([str(values.get("loss") or group), *words])
    counts = Counter(names.values())
    return {
        group: name if counts[name] == 1 else f"{name} {group.rpartition('-')[2]}"
        for group, name in names.items()
    }


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(session: SessionStartInfo) -> Values:
    return {
        name: getattr(value, kind)
        for name, value in session.hparams.items()
        if (kind := value.WhichOneof("kind")) not in (None, "null_value")
    }


def _rank(column: str) -> int:
    return 0 if column in ("loss", "optimizer", "optimizer.lr") else 2 - column.startswith("loss.")


def _column(name: str, values: list[Any], *, select: bool) -> api_pb2.HParamInfo:
    differs = len(set(map(repr, values))) > 1
    info = api_pb2.HParamInfo(name=name, differs=differs and select)
    if all(isinstance(value, float) for value in values):
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value, info.domain_interval.max_value = min(values), max(values)
        return info
    info.type = api_pb2.DATA_TYPE_STRING
    texts = sorted({_ABSENT if value is None else _text(value) for value in values})
    info.domain_discrete.extend(texts)
    return info


def _content(data: HParamsPluginData) -> bytes:
    content: bytes = metadata.create_summary_metadata(data).plugin_data.content
    return content
