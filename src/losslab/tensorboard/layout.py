"""What TensorBoard shows: about thirty of a run's seventy tags, and charts that compare losses.

Each run stores the charts of the Custom Scalars page for the tags that it recorded, as others would
stay empty; TensorBoard merges these layouts. A chart shows all runs that recorded its tag.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from losslab.tensorboard.summaries import tensor

_METRICS = {
    "accuracy": "val/accuracy",
    "NLL (nats)": "val/nll",
    "Brier score": "val/brier",
    "ECE": "val/ece",
}
_MECHANISMS = {
    "attenuation: ratio, confidently wrong": "why/attenuation/ratio/confident_wrong",
    "attenuation: ratio to cross-entropy's gradient": "why/attenuation/ratio",
    "attenuation: gradient energy, confidently wrong": "why/logit_gradients/share/confident_wrong",
    "attenuation: share of saturated wrong predictions": "why/saturation/share/saturated_wrong",
    "non-convexity: negative curvature": "why/logit_curvature/share/negative_examples",
    "scale: mean gradient norm in the logits": "why/logit_gradients/norm",
    "overshoot: gradient energy, beyond target": "why/logit_gradients/share/too_right",
    "sharpness: mean largest curvature in the logits": "why/logit_curvature/largest/mean",
    "margin of the right score": "why/margins/margin",
    "plateau at chance accuracy: 1 once left": "why/plateau/left",
}

_TRAIN_DETAILS = {"brier", "ece", "cross_entropy", "entropy", "kl_divergence"}
_SHOWN = {  # for diagnostics with many numbers; others, such as custom ones, are shown in full
    "attenuation": {"ratio", "ratio/confident_wrong"},
    "calibration": {"temperature", "ece_scaled"},
    "geometry": {"cosine"},
    "layers": set[str](),
    "logit_curvature": {"largest/mean", "share/negative_examples"},
    "logit_gradients": {"norm", "share/confident_wrong", "share/too_right"},
    "margins": {"margin"},
    "plateau": {"left"},
    "saturation": {"share/saturated_wrong"},
}

LAYOUT_TAGS = (*_METRICS.values(), *_MECHANISMS.values())
"""The tags in charts, which are also averaged over seeds."""

INTERVAL = ("mean", "lo", "hi")
"""Suffixes of the tags for a mean over seeds and the ends of its interval."""


def is_shown(tag: str) -> bool:
    """Return whether TensorBoard shows a tag by default."""
    part, _, name = tag.partition("/")
    if part == "why":
        diagnostic, _, key = name.partition("/")
        return key in _SHOWN.get(diagnostic, {key})
    return part != "train" or name not in _TRAIN_DETAILS


def run_layout(recorded: Collection[str]) -> "Summary.Value":
    """Return the charts of the recorded tags: the metrics, then the mechanisms."""

    def lines(title: str, tag: str) -> layout_pb2.Chart:
        # A regular expression that matches this tag only.
        content = layout_pb2.MultilineChartContent(tag=[f"^{tag}$"])
        return layout_pb2.Chart(title=title, multiline=content)

    return _layout(lines, {"Losses side by side": _METRICS, "Why": _MECHANISMS}, recorded)


def seeds_layout(recorded: Collection[str]) -> "Summary.Value":
    """Return the charts of means over seeds of the recorded tags, with intervals as margins."""

    def margin(title: str, tag: str) -> layout_pb2.Chart:
        names = ("value", "lower", "upper")
        series = {name: f"{tag}/{part}" for name, part in zip(names, INTERVAL, strict=True)}
        return layout_pb2.Chart(title=title, margin={"series": [series]})

    # TensorBoard 2.21 reverses the order of margin charts, but not of line charts.
    mean = "mean over seeds with 95% interval"
    categories = {mean.capitalize(): _METRICS, f"Why: {mean}": _MECHANISMS}
    reverse = {name: dict(reversed(charts.items())) for name, charts in categories.items()}
    return _layout(margin, reverse, recorded)


def with_data(layout: str, tags: Collection[str]) -> str:
    """Remove charts that show none of the tags from a layout in TensorBoard's JSON.

    If there are charts of means, line charts are collapsed, as their requests would delay the first
    curve.

    >>> chart = {"title": "NLL", "multiline": {"tag": ["^val/nll$"]}}
    >>> with_data(json.dumps({"category": [{"title": "Why", "chart": [chart]}]}), ["val/ece"])
    '{"category": []}'
    """

    def drawn(chart: Mapping[str, Any]) -> bool:
        patterns = chart.get("multiline", {}).get("tag", [])
        series = chart.get("margin", {}).get("series", [])
        return any(re.match(pattern, tag) for pattern in patterns for tag in tags) or any(
            each.get("value") in tags for each in series
        )

    categories = [
        {**category, "chart": [*filter(drawn, category.get("chart", []))]}
        for category in json.loads(layout).get("category", [])
    ]
    shown = [category for category in categories if category["chart"]]
    if any("margin" in category["chart"][0] for category in shown):
        for category in shown:
            category["closed"] = "multiline" in category["chart"][0]
    return json.dumps({"category": shown})


def _layout(
    draw: Callable[[str, str], layout_pb2.Chart],
    categories: Mapping[str, Mapping[str, str]],
    recorded: Collection[str],
) -> "Summary.Value":
    layout = layout_pb2.Layout()
    for name, tags in categories.items():
        if charts := [draw(title, tag) for title, tag in tags.items() if tag in recorded]:
            layout.category.add(title=name, chart=charts)
    content = layout.SerializeToString()
    return tensor(metadata.CONFIG_SUMMARY_TAG, content, metadata.create_summary_metadata())
