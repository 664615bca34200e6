"""Drawings of what diagnostics saw, from the curves that runs recorded."""

from collections.abc import Sequence

from losslab.recording import read_records
from losslab.report.evidence import Curve, Drawing, Measurement, Panel
from losslab.study.measure import Runs
from losslab.study.points import Point


def profile(
    runs: Runs,
    *,
    curve: str,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    x: str = "p_true",
    y: str = "mean",
    labels: dict[str, str] | None = None,
    logarithmic: bool = True,
) -> Measurement:
    """Draw a curve of one record each at the start, in the middle and at the end of training.

    Points of all seeds are shown: bins of a profile lie at their own means.

    Args:
        runs: Sets to draw, each in the colour of its loss.
        curve: Its name in ``curves.jsonl``.
        name: Of the figure's file.
        title: What is seen.
        x_label: With its unit.
        y_label: Likewise.
        x: Its column of positions.
        y: Its column of values.
        labels: Set to what people read.
        logarithmic: Whether both axes are.
    """
    moments = {"before training": 0.0, "after the first epochs": 0.25, "at the end": 1.0}
    panels = [
        Panel(
            title=f"{title}, {moment}",
            x_label=x_label,
            y_label=y_label,
            curves=[
                Curve(
                    label=(labels or {}).get(arm, arm),
                    loss=_loss(points),
                    line=False,
                    **_points(points, curve, x, y, place),
                )
                for arm, points in runs.items()
            ],
            x_log=logarithmic,
            y_log=logarithmic,
        )
        for moment, place in moments.items()
    ]
    return Measurement(drawings=[Drawing(name=name, caption=title, panels=panels)])


def _points(
    points: Sequence[Point], curve: str, x: str, y: str, place: float
) -> dict[str, list[float]]:
    xs: list[float] = []
    ys: list[float] = []
    for point in points:
        records = [r for r in read_records(point.identity.directory.curves) if curve in r]
        if records:
            columns = records[round(place * (len(records) - 1))][curve]
            xs += columns[x]
            ys += columns[y]
    order = sorted(range(len(xs)), key=xs.__getitem__)
    return {"x": [xs[i] for i in order], "y": [ys[i] for i in order]}


def _loss(points: Sequence[Point]) -> str:
    return points[0].choices["loss"]
