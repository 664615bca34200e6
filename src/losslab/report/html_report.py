"""A study's report as an interactive page, ``report.html``, which works offline.

It shows what ``results.json`` holds and, if the runs are available, what they recorded: learning
curves, confusion matrices and gradient profiles over the tuning grid.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from losslab.figures.styles import Style, styles_of
from losslab.files import GENERATED, is_generated, one_line, read_json
from losslab.metrics import confusion
from losslab.recording import Run, read_predictions, read_records
from losslab.report import formatting as show
from losslab.report.document import templates
from losslab.report.findings import ACCURACY, Findings
from losslab.report.over_seeds import means_over_seeds
from losslab.report.plan import parameter_name
from losslab.report.results import DIGITS
from losslab.report.study_report import count, sentence

SCRIPT = "plotly.min.js"  # shared by the pages of a site
# Figures that the page draws with Plotly.
_DRAWN_LIVE = {"accuracy.png", "gap.png", "accuracy_by_value.png", "claims.png"}
_PROFILE = "why/logit_gradients/profile"
_MOST_CLASSES = 20  # in a readable confusion matrix
_DASHES = {"-": "solid", 5: "dash", 1: "dot", 6: "dashdot", 9: "longdash"}
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "D": "diamond",
    "d": "diamond-tall",
    "P": "cross",
    "X": "x",
    "p": "pentagon",
    "h": "hexagon",
    "H": "hexagon2",
    "*": "star",
    "<": "triangle-left",
    ">": "triangle-right",
    "8": "octagon",
}


def recorded(findings: Findings) -> dict[str, Any]:
    """Return what the runs of the tuning grid recorded, by arm and by value of the parameter."""
    plan = findings.plan
    groups: dict[tuple[str, float], list[Run]] = {}
    for planned in plan.tune:
        run = findings.runs.get(planned.run)
        if run and run.finished:
            groups.setdefault((planned.arm, planned.value), []).append(run)
    found: dict[str, Any] = {"classes": [], "grid": {}}
    for (arm, value), runs in groups.items():
        about: dict[str, Any] = {"n": len(runs), "command": runs[0].manifest.get("command")}
        means = means_over_seeds(runs, ["val/accuracy"], over="epoch")
        if means.tags:
            mean, low, high = (np.round(100 * row, 3).tolist() for row in means.values)
            about["curve"] = {"x": means.x.tolist(), "y": mean, "low": low, "high": high}
        answers = [read_predictions(run.files.predictions, "val") for run in runs]
        answered = [answer for answer in answers if answer]
        classes = answered[0][0].shape[1] if answered else 0
        if 0 < classes <= _MOST_CLASSES:
            predicted = [np.nan_to_num(logits).argmax(axis=1) for logits, _ in answered]
            counts = [
                confusion(each, labels, classes)
                for each, (_, labels) in zip(predicted, answered, strict=True)
            ]
            found["classes"] = runs[0].class_names(classes)
            about["confusion"] = np.sum(counts, axis=0).tolist()
        about["profile"] = _profile(runs)
        found["grid"].setdefault(arm, {})[f"{value:g}"] = about
    return found


def _profile(runs: Sequence[Run]) -> dict[str, list[float]] | None:
    """Return the final gradient norms of all seeds, sorted by p_y."""
    points = []
    for run in runs:
        drawn = [r[_PROFILE] for r in read_records(run.files.curves) if _PROFILE in r]
        if drawn:
            points += list(zip(drawn[-1]["p_true"], drawn[-1]["mean"], strict=True))
    known = sorted(point for point in points if all(map(math.isfinite, point)))
    x, y = ([float(f"{point[axis]:.{DIGITS}g}") for point in known] for axis in (0, 1))
    return {"x": x, "y": y} if known else None


def html_report(
    results: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    *,
    drawings: Iterable[tuple[Path, str]] = (),
    script: str | None = None,
) -> str:
    """Return the page of a study as HTML.

    Args:
        results: The content of ``results.json``.
        more: From :func:`recorded`.
        drawings: Files and captions of the study's own figures.
        script: The address of Plotly's script; ``None`` to include it in the page.
    """
    results = _in_order(results)
    arms = results["arms"]
    styles = styles_of({name.partition("@")[0]: about["loss"] for name, about in arms.items()})
    first: dict[str, str] = {}
    for name, about in arms.items():
        family, _, condition = name.partition("@")
        ending = f", {results['conditions'][condition]['label']}" if condition else ""
        first.setdefault(family, about["label"].removesuffix(ending))
    families = [
        {"name": name, "label": label, **drawn(styles[name])} for name, label in first.items()
    ]
    # Only the metrics that the page draws.
    slim: dict[str, Any] = {
        name: {key: about.get(key) for key in ("label", "chosen", "tuning")}
        | {"confirmed": {r: of[ACCURACY] for r, of in about["confirmed"].items() if ACCURACY in of}}
        for name, about in arms.items()
    }
    data = {
        "families": families,
        "arms": slim,
        **{key: results.get(key, {}) for key in ("gaps", "conditions")},
        **{key: results.get(key, "") for key in ("axis", "reference")},
        "parameter": parameter_name(results.get("parameter", "")),
        "recorded": more or {},
    }
    pictures = [
        (base64.b64encode(path.read_bytes()).decode(), caption) for path, caption in drawings
    ]
    page: str = template("report.html").render(
        results=results,
        answer=sentence(results),
        count=count([claim["verdict"] for claim in results["claims"]]),
        families=families,
        show=show,
        accuracy=ACCURACY,
        signs={"less": "below −", "greater": "above +", "equal": "within ±"},
        has_grid=bool(data["recorded"].get("grid")),
        parameter=data["parameter"],
        data=script_text(data),
        pictures=pictures,
        plotly=None if script else plotly(),
        script=script,
        generated=GENERATED,
    )
    return page


@cache
def plotly() -> str:
    """Return Plotly's script."""
    from plotly.offline import get_plotlyjs  # takes a quarter of a second

    text: str = get_plotlyjs()
    return text


def site(folder: Path) -> dict[str, str]:
    """Return file name to content of a site with all studies that have committed results."""
    pages, studies = {SCRIPT: f"/* {GENERATED} */\n{plotly()}"}, []
    for path in sorted(folder.glob("*/results.json")):
        try:
            results = read_json(path)
            drawings = [
                (figure, figure.stem.replace("_", " "))
                for figure in sorted(path.parent.glob("figures/*.png"))
                if figure.name not in _DRAWN_LIVE and is_generated(figure)
            ]
            name = f"{path.parent.name}.html"
            pages[name] = html_report(results, drawings=drawings, script=SCRIPT)
            verdicts = [claim["verdict"] for claim in results["claims"]]
            studies.append((name, results["title"], results["question"], count(verdicts)))
        except Exception as error:  # an altered file can raise anything
            raise ValueError(f"{path} cannot be read ({one_line(error)})") from error
    if not studies:
        raise ValueError(f"{folder} holds no results of studies; give a folder such as experiments")
    pages["index.html"] = template("site.html").render(studies=studies, generated=GENERATED)
    return pages


@cache
def template(name: str) -> Any:
    """Return a template of HTML, which escapes what is filled in."""
    return templates(autoescape=True).get_template(name)


def _in_order(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results with the reference first and conditions by position.

    ``results.json`` has its keys in alphabetical order.
    """
    arms, conditions = results.get("arms", {}), results.get("conditions", {})
    if all("position" in about for about in conditions.values()):
        conditions = dict(sorted(conditions.items(), key=lambda item: item[1]["position"]))
    reference = results.get("reference")
    first = sorted(arms, key=lambda name: name.partition("@")[0] != reference)
    return {**results, "conditions": conditions, "arms": {name: arms[name] for name in first}}


def drawn(style: Style) -> dict[str, str]:
    """Return a style as Plotly names it."""
    line = style.line if isinstance(style.line, str) else style.line[1][0]
    return {"color": style.color, "dash": _DASHES[line], "symbol": _SYMBOLS[style.marker]}


def script_text(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return JSON that is safe inside a script element; infinities and NaN become null."""
    text = to_json(data, inf_nan_mode="null").decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
