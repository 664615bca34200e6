"""Which charts TensorBoard's Custom Scalars page shows: the losses side by side.

Every run holds the same layout, and TensorBoard makes one of equal ones. A chart has all runs in
it that recorded its tag.
"""

from collections.abc import Callable, Mapping

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
    "attenuation: energy from the confidently wrong": "why/logit_gradients/share/confident_wrong",
    "attenuation: share of saturated wrong predictions": "why/saturation/share/saturated_wrong",
    "non-convexity: negative curvature": "why/logit_curvature/share/negative_examples",
    "scale: mean gradient norm in the logits": "why/logit_gradients/norm",
    "overshoot: gradient energy from the too right": "why/logit_gradients/share/too_right",
    "sharpness: mean largest curvature in the logits": "why/logit_curvature/largest/mean",
    "margin of the right score": "why/margins/margin",
    "plateau at chance: 1 once it is left": "why/plateau/left",
}

_OVER = "over seeds with 95% interval"

LAYOUT_TAGS = (*_METRICS.values(), *_MECHANISMS.values())
"""What the charts show, and what is averaged over seeds."""

INTERVAL = ("mean", "lo", "hi")
"""Last part of the tags of a mean over seeds and of the ends of its interval."""


def run_layout() -> "Summary.Value":
    """Return the charts of the runs: the metrics, then the mechanisms."""

    def lines(title: str, tag: str) -> layout_pb2.Chart:
        # A regular expression that only its own tag fits.
        content = layout_pb2.MultilineChartContent(tag=[f"^{tag}$"])
        return layout_pb2.Chart(title=title, multiline=content)

    return _layout(lines, {"Losses side by side": _METRICS, "Why": _MECHANISMS})


def seeds_layout() -> "Summary.Value":
    """Return the charts of the means over seeds, with their intervals as margins."""

    def margin(title: str, tag: str) -> layout_pb2.Chart:
        names = ("value", "lower", "upper")
        series = {name: f"{tag}/{part}" for name, part in zip(names, INTERVAL, strict=True)}
        return layout_pb2.Chart(title=title, margin={"series": [series]})

    # TensorBoard 2.21 lays out margin charts from the last to the first, charts of lines not.
    categories = {f"Mean {_OVER}": _METRICS, f"Why: mean {_OVER}": _MECHANISMS}
    return _layout(margin, {name: dict(reversed(c.items())) for name, c in categories.items()})


def _layout(
    draw: Callable[[str, str], layout_pb2.Chart], categories: Mapping[str, Mapping[str, str]]
) -> "Summary.Value":
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=title, chart=[draw(*item) for item in charts.items()])
            for title, charts in categories.items()
        ]
    )
    about = metadata.create_summary_metadata()
    return tensor(metadata.CONFIG_SUMMARY_TAG, layout.SerializeToString(), about)
