"""losslab in Python: what its commands do, with runs as objects and numbers as pandas tables."""

import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from losslab import report
from losslab.experiment import Composer, evaluate_run, quoted
from losslab.experiment import load_model as load_model
from losslab.files import as_path, read_json
from losslab.launchers import Failed, outcome
from losslab.recording import Run as Run
from losslab.recording import curves_table, read_predictions
from losslab.recording.results import Results, read_results
from losslab.report.statistics import FloatArray, IntArray
from losslab.study.session import open_study
from losslab.study.verify import MINUTES, SEEDS
from losslab.study.verify import verify as verify_study
from losslab.sweepers.train import plan_sweep, train_one
from losslab.text import Console
from losslab.training import process_kept
from losslab.types import Scalars

Runs: TypeAlias = str | Path | Run | Iterable[Run] | pd.DataFrame
"""A folder of runs, one or several :class:`Run`, or (some rows of) a table of :func:`load_runs`."""


@dataclass(frozen=True)
class StudyResult:
    """A study: its verdicts, numbers and figures."""

    path: Path  # its folder
    claims: pd.DataFrame  # a row per claim: ``id``, ``statement``, ``verdict``, ``effect``, ...
    runs: pd.DataFrame  # of :func:`load_runs`; none where only results are committed
    results: Mapping[str, Any]  # all of ``results.json``
    figures: tuple[Path, ...]  # the files
    failed: Mapping[str, str]  # path to reason, of the runs that failed

    def __repr__(self) -> str:
        verdicts = self.claims["verdict"].value_counts() if len(self.claims) else {}
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        return f"<StudyResult {self.path}: {counts or 'no claims'}; {len(self.runs)} runs>"


@dataclass(frozen=True)
class Verification:
    """What fresh seeds say of a study's results."""

    path: Path  # the folder of its runs, and of ``verification.md``
    reproduced: bool  # whether all runs finished and nothing speaks against the results
    # A row per number: ``name`` of the point, ``metric``, ``committed`` mean, the range in which
    # the fresh mean is ``expected``, that as ``new``, ``reproduced``.
    numbers: pd.DataFrame
    claims: pd.DataFrame  # likewise per claim, with ``verdict`` and ``answer``
    contradictions: tuple[str, ...]  # where the results contradict themselves
    failed: Mapping[str, str]  # path to reason, of the runs that failed

    def __repr__(self) -> str:
        said = "reproduced" if self.reproduced else "NOT REPRODUCED"
        compared = f"{len(self.numbers)} numbers, {len(self.claims)} claims"
        return f"<Verification {self.path}: {said}; {compared}>"


def train(
    *words: str, config_dir: str | Path | None = None, progress: bool = False, **options: Any
) -> Run:
    """Train one configuration, unless it is already finished, and return its run.

    The same as ``losslab train``, with its words, keywords, or both. The run is in
    ``outputs/runs``, or where ``output_dir`` and ``name`` say. It restores torch's global settings.

    Args:
        *words: Such as ``"loss=mse"`` and ``"optimizer.lr=0.1"``.
        config_dir: A folder with more choices, and the modules that they name.
        progress: Whether to print, and to show a progress bar in a terminal.
        **options: Such as ``loss="mse"``, ``optimizer={"lr": 0.1}``, ``seed=0``, ``force=True``.

    Returns:
        The run, ``done`` or ``diverged``, which is a result, too.

    Raises:
        ValueError: Something about it is wrong, in one line; nothing is written then.
        RuntimeError: The run failed; the reason is in the message, the traceback in its log.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> run.status, sorted(tag for tag in run.summary if tag.startswith("test/"))
    ('done', ['test/accuracy', 'test/brier', 'test/ece', 'test/nll'])
    >>> train(loss="mes")
    Traceback (most recent call last):
    ValueError: unknown loss 'mes' (did you mean 'mse'?); allowed are ...
    """
    overrides = _overrides(words, options)
    with _opened(config_dir) as composer:
        run = train_one(composer, overrides, console=_console(progress))
    for failed in outcome([run]):
        raise RuntimeError(_told(failed))
    return _found(run)


def sweep(
    *words: str, config_dir: str | Path | None = None, progress: bool = False, **options: Any
) -> list[Run]:
    """Train every combination of what is listed, on all cores, and return the runs.

    The same as ``losslab train -m``; runs that are finished are not run again. It works in a
    notebook, and in a script without ``if __name__ == "__main__"``.

    Args:
        *words: Such as ``"loss=cross_entropy,mse"`` and ``"launcher=serial"``.
        config_dir: As for :func:`train`.
        progress: Whether to show how far the sweep is.
        **options: As for :func:`train`; a list, tuple, range or array of values is swept, such as
            ``loss=["cross_entropy", "mse"]``, ``optimizer={"lr": [0.1, 0.3]}``, ``seed=range(3)``.

    Returns:
        All runs, in the order of the grid, those that failed with status ``failed`` and a
        ``reason``. :func:`load_runs` makes a table of them.

    Raises:
        ValueError: Something about one of the runs is wrong; nothing is written then.
        RuntimeError: Not one run finished, or the launcher's workers ended before their runs did.

    >>> tiny = {"data": "synthetic", "model": "linear", "trainer": {"epochs": 1}}
    >>> runs = sweep("launcher=serial", **tiny, loss=["mse", "brier"], seed=range(2))
    >>> [(run.loss, run.seed) for run in runs]
    [('mse', 0), ('mse', 1), ('brier', 0), ('brier', 1)]
    """
    overrides = _overrides(words, options, swept=True)
    with _opened(config_dir) as composer:
        runs = plan_sweep(composer, overrides, console=_console(progress)).run()
    failed = outcome(runs)
    if failed and len(failed) == len(runs):
        raise RuntimeError(f"no run finished: {_told(failed[0])}")
    reasons = {each.run: each.reason for each in failed}
    return [_found(run, reasons.get(run, "")) for run in runs]


def study(
    name: str,
    *words: str,
    config_dir: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> StudyResult:
    """Run what is missing of a study, write its report and return its results.

    The same as ``losslab study``; :func:`load_study` reads a finished one.

    Args:
        name: Such as ``"why_squared_error"``; see ``losslab list study``.
        *words: For every run, and for the study itself where they begin with ``study.``.
        config_dir: As for :func:`train`.
        progress: Whether to show how far it is, and its report.
        **options: As for :func:`train`, such as ``study={"tune_seeds": [0, 1]}``.

    Raises:
        ValueError: No such study or key, or its parts do not fit.
        RuntimeError: The launcher's workers ended before their runs did.
    """
    overrides = _overrides((name, *words), options)[1:]
    command = shlex.join(["losslab", "study", name, *overrides])
    with _opened(config_dir) as composer:
        planned, session = open_study(
            composer, name, overrides, console=_console(progress), command=command
        )
        failed = planned.run(session)
    found = {str(f.run.path): f.reason for f in failed}
    return replace(load_study(session.root), failed=found)


def verify(
    name: str,
    *words: str,
    seeds: int = SEEDS,
    points: Iterable[str] | None = None,
    minutes: float = MINUTES,
    results: str | Path | None = None,
    config_dir: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Verification:
    """Run points of a study on fresh seeds and compare its results with them.

    The same as ``losslab verify``.

    Args:
        name: Of the study, or a folder with its ``results.json``.
        *words: Those with which the study was run.
        seeds: How many fresh ones each point gets.
        points: Such as ``["mse", "brier:reference"]``, or ``["all"]``; by default those of the
            claims in their order, as many as are expected to fit into ``minutes``.
        minutes: See ``points``.
        results: The file or its folder, if not that in ``experiments``.
        config_dir: As for :func:`train`.
        progress: Whether to show how far it is, and its tables.
        **options: As for :func:`train`.

    Raises:
        ValueError: No such study, point or results, or they do not fit each other.
        RuntimeError: The launcher's workers ended before their runs did.
    """
    overrides = _overrides((name, *words), options)[1:]
    with _opened(config_dir) as composer:
        done = verify_study(
            composer,
            name,
            overrides,
            console=_console(progress),
            seeds=seeds,
            minutes=minutes,
            points=None if points is None else list(points),
            results=None if results is None else as_path(results),
        )
    numbers = [vars(row) | {"reproduced": row.reproduced} for row in done.found.numbers]
    return Verification(
        path=done.path,
        reproduced=done.found.reproduced and not done.failed,
        numbers=pd.DataFrame(numbers),
        claims=pd.DataFrame([vars(row) | {"answer": row.answer} for row in done.found.claims]),
        contradictions=done.found.contradictions,
        failed={str(each.run.path): each.reason for each in done.failed},
    )


def load_study(path: str | Path) -> StudyResult:
    """Return the results of a study that was run, or whose results are committed.

    Args:
        path: Its folder, such as ``outputs/why_squared_error`` or
            ``experiments/why_squared_error``.

    Raises:
        ValueError: It has no ``results.json`` that can be read.
    """
    folder = as_path(path).expanduser()
    try:
        results = read_json(folder / "results.json")
    except ValueError as error:
        raise ValueError(f"{folder} holds no study's results: {error}") from error
    claims = pd.json_normalize(results.get("claims", []))
    first = [name for name in ("id", "statement", "verdict", "effect", "p_holm") if name in claims]
    return StudyResult(
        path=folder,
        claims=claims[[*first, *(name for name in claims if name not in first)]],
        runs=load_runs(folder),
        results=results,
        figures=tuple(sorted((folder / "figures").glob("*.png"))),
        failed={},
    )


def load_runs(runs: Runs) -> pd.DataFrame:
    """Return a table with one row per run, finished or not.

    Args:
        runs: A folder such as ``"outputs/runs"``, or what :func:`train` or :func:`sweep` returned.

    Returns:
        Columns ``name``, ``group``, ``loss``, ``seed``, ``status``, ``path``; the keys of the
        configuration that differ between the runs, such as ``optimizer.lr``; and final numbers,
        such as ``test/accuracy``, NaN where a run has none.

    Raises:
        ValueError: There is no such folder.

    >>> _ = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1}, name="one")
    >>> load_runs("outputs/one")[["loss", "seed", "status"]].to_dict("records")
    [{'loss': 'mse', 'seed': 0, 'status': 'done'}]
    """
    return report.runs_table(_runs(runs))


def load_curves(runs: Runs, *tags: str) -> pd.DataFrame:
    """Return what runs recorded while they trained, one row per number.

    Args:
        runs: As for :func:`load_runs`; or (some rows of) its table.
        *tags: Such as ``"val/accuracy"``; all if none is given.

    Returns:
        Columns ``name``, ``group``, ``loss``, ``seed``, ``step``, ``examples``, ``epoch``,
        ``wall_s``, ``tag`` and ``value``.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> load_curves(run, "val/accuracy")["epoch"].tolist()
    [0.0, 1.0]
    """
    return curves_table(_runs(runs), *tags)


def load_predictions(runs: Runs, part: str = "test") -> dict[str, tuple[FloatArray, IntArray]]:
    """Return run name to final logits ``(N, K)`` and labels ``(N,)``, where a run has them.

    Args:
        runs: As for :func:`load_curves`.
        part: ``val`` or ``test``.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> from losslab.metrics import accuracy
    >>> [bool(accuracy(*found) > 0.5) for found in load_predictions(run).values()]
    [True]
    """
    finished = [run for run in _runs(runs) if run.finished]
    found = {run.name: read_predictions(run.files.predictions, part) for run in finished}
    return {name: predictions for name, predictions in found.items() if predictions is not None}


def evaluate(
    run: Run | str | Path,
    *words: str,
    config_dir: str | Path | None = None,
    **options: Any,
) -> dict[str, Scalars]:
    """Evaluate a finished run's model on its own data or on other data, as ``losslab evaluate``.

    Args:
        run: It, or its directory.
        *words: ``data=...`` or ``data.KEY=...``, and ``trainer.device=...``.
        config_dir: A folder with more choices.
        **options: The same as keywords.

    Returns:
        By part (``train``, ``val``, ``test``) its number of ``examples``, ``accuracy``, ``nll``,
        ``brier`` and ``ece``.

    Raises:
        ValueError: It is not a finished run, a word is wrong, or images or classes do not fit.
    """
    overrides = _overrides(words, options)
    folder = None if config_dir is None else str(config_dir)
    with process_kept():
        return evaluate_run(run, overrides, config_dir=folder)


def _overrides(
    words: Sequence[object], options: Mapping[str, Any], *, swept: bool = False
) -> list[str]:
    """Return words and keywords as the words of a command, quoted."""
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        rule = "give text, such as 'loss=mse', or keywords, such as seed=5"
        raise ValueError(f"{wrong[0]!r} is a {type(wrong[0]).__name__}; {rule}")
    return [*(quoted(str(word)) for word in words), *to_words(options, swept=swept)]


def to_words(options: Mapping[str, Any], *, swept: bool = False) -> list[str]:
    """Return keywords, nested or dotted, as words; of ``swept`` lists each value is tried.

    >>> to_words({"loss": "mse", "optimizer": {"lr": 0.1}, "force": True, "init_from": None})
    ['loss=mse', 'optimizer.lr=0.1', 'force=true', 'init_from=null']
    >>> to_words({"name": "a b", "data": {"image_shape": [1, 8, 8]}})
    ['name="a b"', 'data.image_shape=[1,8,8]']
    >>> to_words({"seed": range(3), "model.hidden": [[64], [64, 64]]}, swept=True)
    ['seed=0,1,2', 'model.hidden=[64],[64,64]']
    """
    words = []
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            words += [f"{key}.{word}" for word in to_words(value, swept=swept)]
        elif swept and _is_list(value):
            values = [_text(item, key) for item in value]
            if not values:
                raise ValueError(f"{key}=[]: give at least one value to sweep over")
            words.append(f"{key}={','.join(values)}")
        else:
            words.append(f"{key}={_text(value, key)}")
    return words


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | Mapping)


def _text(value: Any, key: str) -> str:
    """Return a value as Hydra reads it."""
    if hasattr(value, "ndim") and value.ndim == 0:  # of numpy or torch
        value = value.item()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value) if not isinstance(value, float) or math.isfinite(value) else repr(value)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", value)
        if plain and value.lower() not in ("null", "true", "false", "nan", "inf"):
            return value
        escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + (m[2] and '\\"'), value)
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_text(item, key)}" for name, item in value.items()) + "}"
    if _is_list(value):
        return "[" + ",".join(_text(item, key) for item in value) + "]"
    rule = "give names, numbers, lists and dictionaries as in a configuration"
    custom = "for custom objects, use losslab.training.fit"
    raise ValueError(f"{key} is a {type(value).__name__}; {rule}; {custom}")


@contextmanager
def _opened(config_dir: str | Path | None) -> Iterator[Composer]:
    # A custom loss may be in the working folder, as for `losslab train`.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)
    with Composer(None if config_dir is None else str(config_dir)) as composer, process_kept():
        yield composer


def _console(progress: bool) -> Console:
    return Console(quiet=not progress)


def _told(failed: Failed) -> str:
    return f"not finished: {failed.run.path} ({failed.reason})"


def _found(run: Run, reason: str = "") -> Run:
    """Return a run with an absolute path, so that a notebook may change its working folder."""
    found = replace(run, found=run.path.resolve())
    # Read now, as a later run may replace the files; one that did not even start has none.
    vars(found)["results"] = read_results(found.path) if found.status else Results("failed", reason)
    return found


def _runs(runs: Runs) -> Sequence[Run]:
    each = [runs] if isinstance(runs, str | Path | Run | pd.DataFrame) else runs
    kinds = str | Path | Run | pd.DataFrame
    if not isinstance(each, Iterable) or not all(isinstance(one, kinds) for one in each):
        rule = "give one, such as 'outputs/runs', runs, or a table of them"
        raise ValueError(f"{runs!r} is no folder of runs; {rule}")
    if isinstance(runs, pd.DataFrame):
        return [Run.load(Path(row["path"]), group=row["group"]) for _, row in runs.iterrows()]
    if isinstance(runs, Run):
        return [runs]
    return report.load_runs(Path(runs).expanduser()) if isinstance(runs, str | Path) else [*runs]
