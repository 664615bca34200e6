"""Reports as interactive pages, ``report.html``, which work offline.

The page of a study shows what ``results.json`` holds and, if the runs are available, what they
recorded: learning curves, confusion matrices and gradient profiles over the tuning grid. The page
of a plain sweep is its Markdown report with the figures inside it, below learning curves.
"""

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from pydantic_core import to_json

from losslab.figures.styles import Style, styles_of
from losslab.files import GENERATED, is_generated, one_line, read_json
from losslab.metrics import confusion
from losslab.recording import Run, read_predictions, read_records
from losslab.report import formatting as show
from losslab.report.document import templates
from losslab.report.findings import ACCURACY, VALIDATION, Findings, Sweep
from losslab.report.over_seeds import means_over_seeds
from losslab.report.plan import parameter_name
from losslab.report.results import DIGITS
from losslab.report.runs import by_group
from losslab.report.study_report import count, sentence
from losslab.report.sweep_report import best_text, configuration_text
from losslab.text import printable

MOST_CURVES = 20
"""More learning curves cannot be told apart; those of each data set's best are shown."""

_TEMPLATES = templates(autoescape=True)
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
    groups: dict[tuple[str, float], list[Run]] = {}
    for planned in findings.plan.tune:
        run = findings.runs.get(planned.run)
        if run and run.finished:
            groups.setdefault((planned.arm, planned.value), []).append(run)
    content: dict[str, Any] = {"classes": [], "grid": {}}
    for (arm, value), runs in groups.items():
        point: dict[str, Any] = {"n": len(runs), "command": runs[0].manifest.get("command")}
        if curve := _learning_curve(runs):
            point["curve"] = curve
        stored = [read_predictions(run.files.predictions, "val") for run in runs]
        predictions = [each for each in stored if each]
        classes = predictions[0][0].shape[1] if predictions else 0
        if 0 < classes <= _MOST_CLASSES:
            counts = [
                confusion(np.nan_to_num(logits).argmax(axis=1), labels, classes)
                for logits, labels in predictions
            ]
            content["classes"] = runs[0].class_names(classes)
            point["confusion"] = np.sum(counts, axis=0).tolist()
        point["profile"] = _profile(runs)
        content["grid"].setdefault(arm, {})[f"{value:g}"] = point
    return content


def _learning_curve(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Return validation accuracy over epochs in percent, with its interval; empty without any."""
    means = means_over_seeds(runs, [VALIDATION], over="epoch")
    if not means.tags:
        return {}
    # NaN, which JSON lacks, becomes null: a gap.
    y, low, high = (np.round(100 * row, 3).tolist() for row in means.values)
    return {"x": means.x.tolist(), "y": y, "low": low, "high": high}


def _profile(runs: Sequence[Run]) -> dict[str, list[float]] | None:
    """Return the final gradient norms of all seeds, sorted by p_y."""
    points = []
    for run in runs:
        profiles = [r[_PROFILE] for r in read_records(run.files.curves) if _PROFILE in r]
        if profiles:
            points += list(zip(profiles[-1]["p_true"], profiles[-1]["mean"], strict=True))
    known = sorted(point for point in points if all(map(math.isfinite, point)))
    x, y = ([float(f"{point[axis]:.{DIGITS}g}") for point in known] for axis in (0, 1))
    return {"x": x, "y": y} if known else None


def study_page(
    results: Mapping[str, Any],
    records: Mapping[str, Any] | None = None,
    *,
    drawings: Iterable[tuple[Path, str]] = (),
    script: str | None = None,
) -> str:
    """Return the page of a study as HTML.

    Args:
        results: The content of ``results.json``.
        records: From :func:`recorded`.
        drawings: Files and captions of the study's own figures.
        script: The address of Plotly's script; ``None`` to include it in the page.
    """
    results = _in_order(results)
    arms = results["arms"]
    styles = styles_of({name.partition("@")[0]: arm["loss"] for name, arm in arms.items()})
    labels: dict[str, str] = {}
    for name, arm in arms.items():
        family, _, condition = name.partition("@")
        ending = f", {results['conditions'][condition]['label']}" if condition else ""
        labels.setdefault(family, arm["label"].removesuffix(ending))
    families = [
        {"name": name, "label": label, **_plotly_style(styles[name])}
        for name, label in labels.items()
    ]
    # Only the metrics that the page draws.
    shown: dict[str, Any] = {}
    for name, arm in arms.items():
        shown[name] = {key: arm.get(key) for key in ("label", "chosen", "tuning")}
        rates = arm["confirmed"].items()
        shown[name]["confirmed"] = {r: m[ACCURACY] for r, m in rates if ACCURACY in m}
    parameter = parameter_name(results.get("parameter", ""))
    data = {
        "families": families,
        "arms": shown,
        **{key: results.get(key, {}) for key in ("gaps", "conditions")},
        **{key: results.get(key, "") for key in ("axis", "reference")},
        "parameter": parameter,
        "recorded": records or {},
    }
    return _render(
        "report.html",
        results=results,
        answer=sentence(results),
        count=count([claim["verdict"] for claim in results["claims"]]),
        families=families,
        show=show,
        accuracy=ACCURACY,
        has_grid=bool(records and records["grid"]),
        parameter=parameter,
        data=_script_text(data),
        figures=[(_embedded(path), caption) for path, caption in drawings],
        plotly=None if script else plotly(),
        script=script,
    )


def sweep_page(
    name: str, sweep: Sweep, runs: Sequence[Run], *, report: str, figures: Sequence[Path]
) -> str:
    """Return the page of a sweep as HTML: its ``report``, in Markdown, with its ``figures``."""
    groups = by_group(run for run in runs if run.finished)
    finished = [each for each in sweep.configurations if each.group in groups]
    by_dataset = [[*members] for _, members in groupby(finished, key=attrgetter("dataset"))]
    most = max(MOST_CURVES // max(len(by_dataset), 1), 1)
    shown = [configuration for members in by_dataset for configuration in members[:most]]
    chosen = f"each data set's {most}" if len(by_dataset) > 1 else f"the {most}"
    several = len({each.loss for each in shown}) > 1
    styles = styles_of({each.loss if several else each.group: each.loss for each in shown})
    places: Counter[str] = Counter()
    curves = []
    for configuration in shown:
        members = groups[configuration.group]
        if curve := _learning_curve(members):
            text = printable(configuration_text(sweep, configuration, but=""))
            style = _plotly_style(styles[configuration.loss if several else configuration.group])
            if several and (place := places[configuration.loss]):  # a loss keeps its colour
                dashes = sorted(_DASHES.values(), key=style["dash"].__ne__)
                style |= {"dash": dashes[place % len(dashes)], "symbol": f"{style['symbol']}-open"}
            places[configuration.loss] += 1
            curves.append({"name": text, "n": len(members), **curve, **style})
    # The page has a title of its own.
    body = report.partition("\n")[2].replace(GENERATED, "")
    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(body))
    for path in figures:
        html = html.replace(f'src="figures/{path.name}"', f'src="{_embedded(path)}"')
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return _render(
        "sweep.html",
        title=f"Sweep {printable(name)}",
        best=[printable(best_text(sweep, leader)) for leader in sweep.leaders],
        curves=curves,
        chosen=f"{chosen} best configurations" if len(shown) < len(finished) else "",
        data=_script_text(curves),
        report=html.replace("</table>", "</table></div>"),
        plotly=plotly() if curves else "",
    )


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
            pages[name] = study_page(results, drawings=drawings, script=SCRIPT)
            verdicts = [claim["verdict"] for claim in results["claims"]]
            studies.append((name, results["title"], results["question"], count(verdicts)))
        except Exception as error:  # an altered file can raise anything
            raise ValueError(f"{path} cannot be read ({one_line(error)})") from error
    if not studies:
        raise ValueError(f"{folder} holds no results of studies; give a folder such as experiments")
    pages["index.html"] = _render("site.html", studies=studies)
    return pages


def _render(template: str, **content: Any) -> str:
    """Fill a template of HTML, in which text is escaped."""
    return _TEMPLATES.get_template(template).render(generated=GENERATED, **content)


def _embedded(path: Path) -> str:
    """Return a PNG file as a ``data:`` address."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _in_order(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results with the reference first and conditions by position.

    ``results.json`` has its keys in alphabetical order.
    """
    arms, conditions = results.get("arms", {}), results.get("conditions", {})
    if all("position" in condition for condition in conditions.values()):
        conditions = dict(sorted(conditions.items(), key=lambda item: item[1]["position"]))
    reference = results.get("reference")
    first = sorted(arms, key=lambda name: name.partition("@")[0] != reference)
    return {**results, "conditions": conditions, "arms": {name: arms[name] for name in first}}


def _plotly_style(style: Style) -> dict[str, str]:
    """Return a style as Plotly names it."""
    line = style.line if isinstance(style.line, str) else style.line[1][0]
    return {"color": style.color, "dash": _DASHES[line], "symbol": _SYMBOLS[style.marker]}


def _script_text(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return JSON that is safe inside a script element; infinities and NaN become null."""
    text = to_json(data, inf_nan_mode="null").decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
