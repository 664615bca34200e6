"""The report of a plain sweep as an interactive page, which works offline.

It is the sweep's Markdown report with its figures inside, below learning curves to point at.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt

from losslab.figures.styles import styles_of
from losslab.files import GENERATED
from losslab.recording import Run
from losslab.report.findings import VALIDATION, Sweep
from losslab.report.html_report import drawn, plotly, script_text, template
from losslab.report.over_seeds import means_over_seeds
from losslab.report.runs import by_group
from losslab.report.sweep_report import best_text, configuration_text
from losslab.text import printable

MOST_CURVES = 20
"""Learning curves of more configurations cannot be told apart; the best are shown."""


def sweep_page(
    name: str, found: Sweep, runs: Sequence[Run], *, report: str, figures: Sequence[Path]
) -> str:
    """Return the page of a sweep as HTML.

    Args:
        name: Of the sweep.
        found: The sweep, the best configuration first.
        runs: Of the sweep.
        report: Its report in Markdown.
        figures: The files that the report shows.
    """
    curves = _curves(found, runs)
    page: str = template("sweep.html").render(
        title=f"Sweep {printable(name)}",
        best=printable(best_text(found)),
        curves=curves,
        left_out=len(found.configurations) > MOST_CURVES,
        data=script_text(curves),
        report=_to_html(report, {f"figures/{path.name}": path for path in figures}),
        plotly=plotly() if curves else "",
        generated=GENERATED,
    )
    return page


def _curves(found: Sweep, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the learning curves of the best configurations, in percent."""
    groups = by_group(run for run in runs if run.finished)
    shown = [each for each in found.configurations if each.group in groups][:MOST_CURVES]
    styles = styles_of({each.group: each.loss for each in shown})
    curves = []
    for configuration in shown:
        members = groups[configuration.group]
        means = means_over_seeds(members, [VALIDATION], over="epoch")
        if means.tags:
            # NaN, which JSON lacks, becomes null: a gap.
            y, low, high = (np.round(100 * row, 3).tolist() for row in means.values)
            text = printable(configuration_text(found, configuration, but=""))
            about: dict[str, Any] = {"name": text, "n": len(members)}
            ends = {"x": means.x.tolist(), "y": y, "low": low, "high": high}
            curves.append({**about, **ends, **drawn(styles[configuration.group])})
    return curves


def _to_html(report: str, figures: Mapping[str, Path]) -> str:
    """Return a report in Markdown as HTML without its title, the figures inside it."""
    body = report.partition("\n")[2].replace(GENERATED, "")
    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(body))
    for address, path in figures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        html = html.replace(f'src="{address}"', f'src="data:image/png;base64,{data}"')
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return html.replace("</table>", "</table></div>")
