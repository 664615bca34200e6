"""The Python API: what the commands do, with runs as objects and numbers as pandas tables."""

import shlex
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from losslab import report
from losslab.experiment import Composer, evaluate_run, to_overrides
from losslab.experiment import load_model as load_model
from losslab.files import as_path, read_json
from losslab.launchers import Failed, outcome
from losslab.recording import Run as Run
from losslab.recording import curves_table, read_predictions
from losslab.recording.results import Results, read_results
from losslab.report.statistics import FloatArray, IntArray
from losslab.study import execution
from losslab.study.session import open_study
from losslab.study.verify import MINUTES, SEEDS
from losslab.study.verify import verify as verify_study
from losslab.sweepers.train import plan_sweep, train_one
from losslab.text import Console, nearest
from losslab.training import process_kept
from losslab.types import Scalars

Runs: TypeAlias = str | Path | Run | pd.DataFrame | Iterable["Runs"]
"""A folder of runs, a :class:`Run`, rows of a table from :func:`load_runs`, or a list of these.

A run that is given twice counts once. If runs in different folders have equal names, all are named
by their path below the common folder, such as ``rates/mse-1a2b3c4d/seed=0``.
"""


_PARTS = ("val", "test")
"""The parts of the data for which a run keeps its predictions."""

_ONE_AT_A_TIME = threading.RLock()
"""Held by the thread that trains, as random numbers, torch's settings and Hydra are global.

Two threads at once would draw from the same random stream and store wrong results.
"""


@dataclass(frozen=True)
class StudyResult:
    """The results of a study: verdicts, numbers and figures."""

    path: Path  # the study's folder
    claims: pd.DataFrame  # a row per claim: ``id``, ``statement``, ``verdict``, ``effect``, ...
    runs: pd.DataFrame  # from :func:`load_runs`; empty if only the results are committed
    results: Mapping[str, Any]  # the contents of ``results.json``
    figures: tuple[Path, ...]  # PNG files
    failed: Mapping[str, str]  # path of each failed run -> reason

    def __repr__(self) -> str:
        verdicts = self.claims["verdict"].value_counts() if len(self.claims) else {}
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        return f"<StudyResult {self.path}: {counts or 'no claims'}; {len(self.runs)} runs>"


@dataclass(frozen=True)
class Verification:
    """How a study's results compare with runs on fresh seeds."""

    path: Path  # the folder with the fresh runs and ``verification.md``
    reproduced: bool  # whether all runs finished and none of them contradicts the results
    # A row per number: the point's ``name``, the ``metric``, the ``committed`` mean, the range in
    # which the fresh mean is ``expected``, the fresh mean (``new``), ``reproduced``.
    numbers: pd.DataFrame
    claims: pd.DataFrame  # the same for each claim, with ``verdict`` and ``answer``
    contradictions: tuple[str, ...]  # where the results contradict themselves
    failed: Mapping[str, str]  # path of each failed run -> reason

    def __repr__(self) -> str:
        verdict = "reproduced" if self.reproduced else "NOT REPRODUCED"
        counts = f"{len(self.numbers)} numbers, {len(self.claims)} claims"
        return f"<Verification {self.path}: {verdict}; {counts}>"


def train(
    *words: str, config_dir: str | Path | None = None, progress: bool = False, **options: Any
) -> Run:
    """Train one configuration, unless its run is finished, and return the run.

    The same as ``losslab train``. Overrides are given as on the command line, as keywords, or both.
    The run is written to ``outputs/runs``, unless ``output_dir`` or ``name`` say otherwise. torch's
    global settings are restored afterwards. Calls from several threads wait for each other; use
    :func:`sweep` to train on all cores.

    Args:
        *words: Overrides such as ``"loss=mse"`` and ``"optimizer.lr=0.1"``.
        config_dir: A folder with additional configuration files and the modules that they name.
        progress: Whether to print messages and show a progress bar.
        **options: Overrides such as ``loss="mse"``, ``optimizer={"lr": 0.1}``, ``seed=0``,
            ``force=True``.

    Returns:
        The run. Its status is ``done`` or ``diverged``; divergence is a result, not an error.

    Raises:
        ValueError: The configuration is invalid. Nothing has been written.
        RuntimeError: The run failed. The message has the reason, the run's log the traceback.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> run.status, sorted(tag for tag in run.summary if tag.startswith("test/"))
    ('done', ['test/accuracy', 'test/brier', 'test/ece', 'test/nll'])
    >>> train(loss="mes")
    Traceback (most recent call last):
    ValueError: unknown loss 'mes' (did you mean 'mse'?); allowed are ...
    """
    overrides = to_overrides(words, options)
    with _open_composer(config_dir) as composer:
        run = train_one(composer, overrides, console=_console(progress))
    if failed := outcome([run]):
        raise RuntimeError(_failure_message(failed[0]))
    return _with_results(run)


def sweep(
    *words: str, config_dir: str | Path | None = None, progress: bool = False, **options: Any
) -> list[Run]:
    """Train every combination of the listed values, on all cores, and return the runs.

    The same as ``losslab train -m``. Finished runs are not run again. It works in a notebook, and
    in a script without ``if __name__ == "__main__"``.

    Args:
        *words: Overrides such as ``"loss=cross_entropy,mse"`` and ``"launcher=serial"``.
        config_dir: As for :func:`train`.
        progress: Whether to show the progress of the sweep.
        **options: As for :func:`train`. The values of a list, tuple, range, array or pandas column
            are swept: ``loss=["cross_entropy", "mse"]``, ``optimizer={"lr": [0.1, 0.3]}``,
            ``seed=range(3)``.

    Returns:
        All runs in the order of the grid. A failed run has status ``failed`` and a ``reason``.
        :func:`load_runs` makes a table of them.

    Raises:
        ValueError: The configuration of a run is invalid. Nothing has been written.
        RuntimeError: No run finished, or the launcher's workers ended before their runs did.

    >>> tiny = {"data": "synthetic", "model": "linear", "trainer": {"epochs": 1}}
    >>> runs = sweep("launcher=serial", **tiny, loss=["mse", "brier"], seed=range(2))
    >>> [(run.loss, run.seed) for run in runs]
    [('mse', 0), ('mse', 1), ('brier', 0), ('brier', 1)]
    """
    overrides = to_overrides(words, options, swept=True)
    with _open_composer(config_dir) as composer:
        runs = plan_sweep(composer, overrides, console=_console(progress)).run()
    failed = outcome(runs)
    if failed and len(failed) == len(runs):
        raise RuntimeError(f"no run finished: {_failure_message(failed[0])}")
    reasons = {failure.run: failure.reason for failure in failed}
    return [_with_results(run, reasons.get(run, "")) for run in runs]


def study(
    name: str,
    *words: str,
    config_dir: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> StudyResult:
    """Run the missing runs of a study, write its report and return its results.

    The same as ``losslab study``. :func:`load_study` reads the results of a finished study.

    Args:
        name: The study, such as ``"why_squared_error"``; ``losslab list study`` lists all.
        *words: Overrides for every run, or for the study if they begin with ``study.``.
        config_dir: As for :func:`train`.
        progress: Whether to show progress and the report.
        **options: As for :func:`train`, such as ``study={"tune_seeds": [0, 1]}``.

    Raises:
        ValueError: The study or a key does not exist, or the study is inconsistent.
        RuntimeError: The launcher's workers ended before their runs did.
    """
    overrides = to_overrides((name, *words), options)[1:]
    folder = [] if config_dir is None else ["--config-dir", str(config_dir)]
    command = shlex.join(["losslab", "study", name, *folder, *overrides])
    with _open_composer(config_dir) as composer:
        planned, session = open_study(
            composer, name, overrides, console=_console(progress), command=command
        )
        failed = execution.run(planned, session)
    return replace(load_study(session.root), failed=_reasons(failed))


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
    """Run points of a study again on fresh seeds and compare them with its results.

    The same as ``losslab verify``.

    Args:
        name: The study, or a folder with its ``results.json``.
        *words: The overrides with which the study was run.
        seeds: Number of fresh seeds for each point.
        points: Such as ``["mse", "brier:reference"]``, or ``"all"``. By default the points of the
            claims in order, as many as are expected to fit into ``minutes``.
        minutes: Time limit for the default ``points``.
        results: The results file or its folder, by default the one in ``experiments``.
        config_dir: As for :func:`train`.
        progress: Whether to show progress and the tables.
        **options: As for :func:`train`.

    Raises:
        ValueError: The study, a point or the results do not exist, or they do not match.
        RuntimeError: The launcher's workers ended before their runs did.
    """
    overrides = to_overrides((name, *words), options)[1:]
    if isinstance(points, str):
        points = [points]
    with _open_composer(config_dir) as composer:
        verified = verify_study(
            composer,
            name,
            overrides,
            console=_console(progress),
            seeds=seeds,
            minutes=minutes,
            points=None if points is None else list(points),
            results=None if results is None else as_path(results),
        )
    compared = verified.comparison
    numbers = [vars(row) | {"reproduced": row.reproduced} for row in compared.numbers]
    return Verification(
        path=verified.path,
        reproduced=compared.reproduced and not verified.failed,
        numbers=pd.DataFrame(numbers),
        claims=pd.DataFrame([vars(row) | {"answer": row.answer} for row in compared.claims]),
        contradictions=compared.contradictions,
        failed=_reasons(verified.failed),
    )


def load_study(path: str | Path) -> StudyResult:
    """Return the results of a study that has been run, or whose results are committed.

    Args:
        path: The study's folder, such as ``outputs/why_squared_error`` or
            ``experiments/why_squared_error``.

    Raises:
        ValueError: The folder has no readable ``results.json``.
    """
    folder = as_path(path).expanduser()
    try:
        results = read_json(folder / "results.json")
    except ValueError as error:
        raise ValueError(f"{folder} does not hold the results of a study: {error}") from error
    claims = pd.json_normalize(results.get("claims", []))
    order = ("id", "statement", "verdict", "effect", "p_holm")
    leading = [name for name in order if name in claims]
    return StudyResult(
        path=folder,
        claims=claims[[*leading, *(name for name in claims if name not in leading)]],
        runs=load_runs(folder),
        results=results,
        figures=tuple(sorted((folder / "figures").glob("*.png"))),
        failed={},
    )


def load_runs(runs: Runs) -> pd.DataFrame:
    """Return a table with one row per run, finished or not.

    Args:
        runs: A folder such as ``"outputs/runs"``, what :func:`train` or :func:`sweep` returned,
            rows of such a table, or a list of these. If runs in different folders have equal names,
            all are named by their path below the common folder.

    Returns:
        Columns ``name``, ``group``, ``loss``, ``seed``, ``status``, ``path``; the configuration
        keys that differ between the runs, such as ``optimizer.lr``; and the final metrics, such as
        ``test/accuracy``, NaN for a run without them.

    Raises:
        ValueError: A folder does not exist, or ``runs`` is something else.

    >>> _ = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1}, name="one")
    >>> load_runs("outputs/one")[["loss", "seed", "status"]].to_dict("records")
    [{'loss': 'mse', 'seed': 0, 'status': 'done'}]
    """
    return report.runs_table(_runs(runs))


def load_curves(runs: Runs, *tags: str) -> pd.DataFrame:
    """Return the metrics that runs recorded during training, one row per number.

    For runs that are in progress, failed or damaged, it has what can be read; to leave them out,
    choose rows of :func:`load_runs` by ``status``.

    Args:
        runs: As for :func:`load_runs`, or rows of its table.
        *tags: Such as ``"val/accuracy"``; by default all tags.

    Returns:
        Columns ``name``, ``group``, ``loss``, ``seed``, ``step``, ``examples``, ``epoch``,
        ``wall_s``, ``tag`` and ``value``.

    Raises:
        ValueError: As :func:`load_runs`; or a run is done, and none recorded a tag.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> load_curves(run, "val/accuracy")["epoch"].tolist()
    [0.0, 1.0]
    """
    return curves_table(_runs(runs), *tags)


def load_predictions(runs: Runs, part: str = "test") -> dict[str, tuple[FloatArray, IntArray]]:
    """Return the final logits ``(N, K)`` and labels ``(N,)`` of each run that has them, by name.

    Args:
        runs: As for :func:`load_curves`. The names are those of :func:`load_runs` of the same
            ``runs``: each run has its own, also where runs in different folders have equal names.
        part: ``val`` or ``test``.

    Raises:
        ValueError: As :func:`load_runs`; or another part.

    >>> run = train("data=synthetic", "model=linear", loss="mse", trainer={"epochs": 1})
    >>> from losslab.metrics import accuracy
    >>> logits, labels = load_predictions(run)[run.name]
    >>> bool(accuracy(logits, labels) > 0.5)
    True
    """
    if part not in _PARTS:
        rule = f"give {' or '.join(_PARTS)}; runs keep predictions of these"
        raise ValueError(f"part={part!r}{nearest(str(part), _PARTS)}; {rule}")
    finished = [run for run in _runs(runs) if run.finished]
    by_name = {run.name: read_predictions(run.files.predictions, part) for run in finished}
    return {name: predictions for name, predictions in by_name.items() if predictions is not None}


def evaluate(
    run: Run | str | Path,
    *words: str,
    config_dir: str | Path | None = None,
    **options: Any,
) -> dict[str, Scalars]:
    """Evaluate the model of a finished run on its own data or on other data.

    The same as ``losslab evaluate``.

    Args:
        run: The run, or its directory.
        *words: Overrides: ``data=...`` or ``data.KEY=...``, and ``trainer.device=...``.
        config_dir: A folder with additional configuration files.
        **options: The same overrides as keywords.

    Returns:
        For each part (``train``, ``val``, ``test``) the number of ``examples``, ``accuracy``,
        ``nll``, ``brier`` and ``ece``.

    Raises:
        ValueError: The run is not finished, an override is invalid, or the images or classes do not
            match the model.
    """
    overrides = to_overrides(words, options)
    folder = None if config_dir is None else str(config_dir)
    with _ONE_AT_A_TIME, process_kept():
        return evaluate_run(run, overrides, config_dir=folder)


@contextmanager
def _open_composer(config_dir: str | Path | None) -> Iterator[Composer]:
    # As in `losslab train`, a custom loss may be in the working folder.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)
    folder = None if config_dir is None else str(config_dir)
    with _ONE_AT_A_TIME, Composer(folder) as composer, process_kept():
        yield composer


def _console(progress: bool) -> Console:
    return Console(quiet=not progress)


def _failure_message(failed: Failed) -> str:
    return f"not finished: {failed.run.path} ({failed.reason})"


def _reasons(failed: Iterable[Failed]) -> dict[str, str]:
    return {str(failure.run.path): failure.reason for failure in failed}


def _with_results(run: Run, reason: str = "") -> Run:
    """Return a run with an absolute path and its results already read.

    A notebook may then change its working folder, and a later run may replace the files.
    """
    path = run.path.resolve()
    run = replace(run, directory=path)
    # A run that never started has no files.
    vars(run)["results"] = read_results(path) if run.status else Results("failed", reason)
    return run


def _runs(runs: Runs) -> Sequence[Run]:
    return report.distinct(_each_run(runs))


def _each_run(runs: Runs) -> Iterator[Run]:
    if isinstance(runs, Run):
        yield runs
    elif isinstance(runs, str | Path):
        yield from report.load_runs(Path(runs).expanduser())
    elif isinstance(runs, pd.DataFrame):
        missing = [column for column in ("path", "group") if column not in runs]
        if missing:
            rule = "give rows of a table from load_runs, with these columns"
            raise ValueError(f"the table has no column {missing[0]!r}; {rule}")
        for path, group in zip(runs["path"], runs["group"], strict=True):
            yield Run.load(Path(path), group=group)
    elif isinstance(runs, Iterable):
        for each in runs:
            yield from _each_run(each)
    else:
        rule = "give folders, such as 'outputs/runs', runs, or a table of runs"
        raise ValueError(f"{runs!r} is not a folder of runs; {rule}")
