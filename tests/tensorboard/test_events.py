"""What is written is read back by TensorBoard's own reader."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util.tensor_util import make_ndarray

from losslab.tensorboard import LAYOUT_TAGS, EventFile, read_events, scalars, seeds_layout
from losslab.tensorboard.layout import run_layout
from losslab.tensorboard.summaries import histogram, precision_recall, text


def write(folder, *events):
    path = folder / "events.out.tfevents.0"
    file = EventFile(path, wall_time=0.0)
    for step, values in enumerate(events):
        file.add(values, step=step, wall_time=float(step))
    file.close()
    return path


def tensors(folder, tag):
    events = EventAccumulator(str(folder)).Reload()
    return [make_ndarray(event.tensor_proto) for event in events.Tensors(tag)]


def test_a_file_is_read_up_to_where_it_was_cut_or_altered(tmp_path):
    path = write(tmp_path, *[scalars({"a/b": value}) for value in (0.0, 1.0, 2.0)])
    content = path.read_bytes()
    assert [event.step for event in read_events(path)] == [0, 0, 1, 2]
    last = len(content) - (len(content) - 40) // 3
    for end in range(last, len(content)):
        path.write_bytes(content[:end])
        assert [event.step for event in read_events(path)] == [0, 0, 1]
    for position in range(last, len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        assert [event.step for event in read_events(path)] == [0, 0, 1]
    path.write_bytes(b"")
    assert list(read_events(path)) == []


def test_a_histogram_keeps_its_counts(tmp_path):
    values = np.random.default_rng(0).normal(size=1000)
    counts, edges = np.histogram(values, bins=20)
    write(tmp_path, [histogram("weights", counts, edges)])
    (shown,) = EventAccumulator(str(tmp_path)).Reload().Histograms("weights")
    proto = shown.histogram_value
    assert list(proto.bucket) == counts.tolist()
    assert proto.bucket_limit == pytest.approx(edges[1:])
    assert (proto.num, proto.min, proto.max) == (1000, edges[0], edges[-1])
    assert proto.sum == pytest.approx(values.sum(), abs=1000 * (edges[1] - edges[0]) / 2)


def test_precision_and_recall_are_those_of_scikit_learn(tmp_path):
    random = np.random.default_rng(0)
    positives, negatives = random.beta(4, 2, size=60), random.beta(2, 4, size=90)
    curve = precision_recall("pr", positives, negatives, title="class 0", points=11)
    write(tmp_path, [curve])
    (table,) = tensors(tmp_path, "pr")
    labels = np.repeat([1, 0], [60, 90])
    scores = np.concatenate([positives, negatives])
    precision, recall, _ = precision_recall_curve(labels, scores)
    expected = {round(r, 6): p for p, r in zip(precision[:-1], recall[:-1], strict=True)}
    shown = {round(float(r), 6): p for p, r in table[4:].T}
    assert shown == pytest.approx({r: expected[r] for r in shown}, rel=1e-6)
    assert len(shown) == 11
    assert (min(shown), max(shown)) == pytest.approx((1 / 60, 1.0), abs=1e-6)
    assert (table[:4].sum(axis=0) == 150).all()


def test_text(tmp_path):
    write(tmp_path, [text("about/command", "losslab train")])
    assert [value.item() for value in tensors(tmp_path, "about/command")] == [b"losslab train"]


def test_the_layouts_have_the_same_tags_in_the_same_order():
    lines, margins = (
        layout_pb2.Layout.FromString(value.tensor.string_val[0])
        for value in (run_layout(LAYOUT_TAGS), seeds_layout(LAYOUT_TAGS))
    )
    tags = [chart.multiline.tag[0] for category in lines.category for chart in category.chart]
    assert tags == [f"^{tag}$" for tag in LAYOUT_TAGS]
    assert tags[:4] == [f"^val/{name}$" for name in ("accuracy", "nll", "brier", "ece")]
    shown = [
        chart.margin.series[0]
        for category in margins.category
        for chart in reversed(category.chart)  # as TensorBoard does
    ]
    assert [(s.value, s.lower, s.upper) for s in shown] == [
        (f"{tag}/mean", f"{tag}/lo", f"{tag}/hi") for tag in LAYOUT_TAGS
    ]


def test_a_layout_has_no_chart_of_what_was_not_recorded():
    lines, margins = (
        layout_pb2.Layout.FromString(value.tensor.string_val[0])
        for value in (run_layout(["val/nll", "a/b"]), seeds_layout(["val/nll", "a/b"]))
    )
    for layout in (lines, margins):
        titles = [[chart.title for chart in each.chart] for each in layout.category]
        assert titles == [["NLL (nats)"]]
