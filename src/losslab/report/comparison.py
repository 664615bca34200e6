"""Compare two configurations: their settings, paired metrics and curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab.files import shown
from losslab.recording import Run, configuration_of
from losslab.report import formatting as show
from losslab.report.document import Document, Table
from losslab.report.estimates import Comparison, Sampler, compare
from losslab.report.findings import METRICS, VALIDATION
from losslab.report.runs import load_runs, naming_keys, settings
from losslab.report.selectors import check_recorded, split
from losslab.report.sweep_report import key_text, value_text

_MOST_NAMED = 4


@dataclass(frozen=True)
class Contrast:
    """Two configurations compared."""

    left: tuple[Run, ...]  # finished runs of the common seeds, ascending
    right: tuple[Run, ...]
    settings: dict[str, tuple[str, str]]  # key to the two values, where they differ
    compared: dict[str, Comparison]  # by metric
    unpaired: tuple[int, ...]  # seeds that only one of them has finished


def contrast(left: Path, right: Path, *, by: str | None) -> Contrast:
    """Compare two configurations, each a folder or one of its runs, on their common seeds.

    ``by`` is a further metric to compare. ``ValueError`` if no seed is finished in both, or no run
    recorded ``by``.
    """
    if left.resolve() == right.resolve():
        raise ValueError(f"{left} and {right} are the same folder; give two configurations")
    sides = [_finished(path) for path in (left, right)]
    by_seed = [{run.seed: run for run in runs} for runs in sides]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not seeds:
        lists = [", ".join(str(seed) for seed in sorted(runs)) for runs in by_seed]
        raise ValueError(
            f"no seed is finished in both: {left} has {lists[0]}, {right} has {lists[1]}; train "
            "one with the other's seeds"
        )
    pairs = [tuple(runs[seed] for seed in seeds) for runs in by_seed]
    if by is not None:
        for runs in pairs:
            check_recorded(by, runs)
    # One sampler each, as runs of two folders may have the same names.
    samplers = [(Sampler(runs), tuple(run.name for run in runs)) for runs in pairs]
    compared = {}
    for metric in dict.fromkeys([*([by] if by else []), VALIDATION, *METRICS]):
        comparison = compare(*(sampler.sample(names, metric) for sampler, names in samplers))
        if comparison is not None:
            compared[metric] = comparison
    configs = settings([runs[0] for runs in pairs])
    # As if there were one loss: every argument of a loss is of interest.
    keys = naming_keys(["", ""], configs)
    return Contrast(
        left=pairs[0],
        right=pairs[1],
        settings={
            key_text(key): (value_text(configs[0].get(key)), value_text(configs[1].get(key)))
            for key in keys
        },
        compared=compared,
        unpaired=tuple(sorted(by_seed[0].keys() ^ by_seed[1].keys())),
    )


def _finished(path: Path) -> list[Run]:
    runs = load_runs(path)
    groups = list(dict.fromkeys(configuration_of(run.path) for run in runs))
    if len(groups) > 1:
        names = ", ".join(str(shown(group)) for group in groups[:_MOST_NAMED])
        raise ValueError(
            f"{path} holds {len(groups)} configurations; give one of them: {names}"
            f"{', ...' if len(groups) > _MOST_NAMED else ''}; losslab best names the best"
        )
    finished = [run for run in runs if run.finished]
    if not finished:
        raise ValueError(f"{path} holds no finished run; see `losslab runs`")
    return finished


def comparison_document(contrast: Contrast) -> Document:
    """Lay out a comparison."""
    rows = [
        {
            "metric": show.metric_name(metric),
            "A": show.number(metric, each.left.mean) + show.unit(metric),
            "B": show.number(metric, each.right.mean) + show.unit(metric),
            "A − B": show.difference(metric, each) + show.mark(each),
            "p": show.p_value(each.p),
            "n": str(each.n),
        }
        for metric, each in contrast.compared.items()
    ]
    settings = [{"": key, "A": a, "B": b} for key, (a, b) in contrast.settings.items()]
    content = {
        "settings": Table.of(settings, text_columns=3) if settings else None,
        "n": len(contrast.left),
        "seeds": _listed([run.seed for run in contrast.left]),
        "metrics": Table.of(rows),
        "over_seeds_alone": any(show.mark(each) for each in contrast.compared.values()),
        "unpaired": _listed(contrast.unpaired),
    }
    return Document("compare", content)


def _listed(seeds: Sequence[int]) -> str:
    """Return seeds as text, many of them shortened: ``0, 1, 2, ..., 19``."""
    if len(seeds) <= 2 * _MOST_NAMED:
        return ", ".join(map(str, seeds))
    return f"{', '.join(map(str, seeds[:3]))}, ..., {seeds[-1]}"


def draw_contrast(contrast: Contrast, path: Path, *, metric: str) -> Path:
    """Draw the mean of a metric during training for both, with intervals, as a PNG."""
    # matplotlib takes seconds to import.
    from losslab.figures import Curve, Drawing, Panel, styles_of
    from losslab.figures.canvas import save, styled
    from losslab.figures.panels import draw_panels
    from losslab.report.over_seeds import means_over_seeds

    tag, curves = split(metric)[0], []
    losses = {"A": contrast.left[0].loss, "B": contrast.right[0].loss}
    styles, (factor, _) = styles_of(losses), show.scale(tag)
    for index, (name, runs) in enumerate((("A", contrast.left), ("B", contrast.right))):
        means = means_over_seeds(runs, [tag], over="epoch")
        if not means.tags:
            continue
        # The loss and up to three settings that differ.
        settings = [
            f"{key}={values[index]}"
            for key, values in contrast.settings.items()
            if key.partition(".")[0] != "loss" or losses["A"] == losses["B"]
        ]
        label = f"{name}: {', '.join([losses[name], *settings[:3]])}"
        mean, low, high = (factor * means.values).tolist()
        x, style = means.x.tolist(), styles[name]
        curves.append(Curve(label=label, x=x, y=mean, low=low, high=high, style=style))
    if not curves:
        rule = "give another --by, or leave out --png"
        raise ValueError(f"--png: {tag} was not recorded while training; {rule}")
    unit = show.unit(tag).strip()
    seeds = len(contrast.left)
    panel = Panel(
        title=f"Mean of {seeds} seeds and 95% interval" if seeds > 1 else "",
        curves=curves,
        x_label="epoch",
        y_label=show.metric_name(tag) + (f" ({unit})" if unit else ""),
        ticks="counts",
    )
    drawing = Drawing(name=path.stem, panels=[panel], legend_below=True, size=(6.0, 4.8))
    return save(styled(draw_panels)(drawing), path)
