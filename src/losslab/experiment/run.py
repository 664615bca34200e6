"""One run: check it, open its directory, train, evaluate, write the results."""

import errno
import logging
import os
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.experiment.build import build
from losslab.experiment.compose import usual_choices
from losslab.experiment.dry_run import dry_run
from losslab.experiment.identity import is_of, kept_configuration, resolved
from losslab.experiment.log_file import logging_to
from losslab.experiment.train import train
from losslab.files import read_yaml
from losslab.recording import (
    Run,
    Status,
    check_marks,
    make_room,
    manifest,
    write_atomically,
    write_json,
)
from losslab.stopping import end_with_parent
from losslab.training import load_checkpoint, resolve_device

logger = logging.getLogger("losslab")


# What is wrong with the disk and not with the run.
_OF_THE_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE),
}


IN_USE = "in use"
"""What :func:`perform` returns of a run that another process is at."""


class RunInUseError(RuntimeError):
    """Another process is at work on this run."""


def prepare(run: Run, *, elsewhere: bool = False, built: set[str] | None = None) -> None:
    """Check everything about a run that can be checked without training; write nothing.

    Args:
        run: Planned.
        elsewhere: Whether it will be done on a machine that may have other devices.
        built: What was built before and need not be again, as it differs in the seed alone, or
            dry run again, as it differs in rates alone; this one is added.

    Raises:
        ValueError: In one line: what was given, what is allowed, what to do.
    """
    config = run.composed
    if run.pending:
        built = set() if built is None else built
        if run.digest not in built:
            parts = build(_on_the_cpu(config) if elsewhere else config)
            kind = _kind_of(config)
            if kind not in built:
                dry_run(parts)
            built |= {run.digest, kind}
        if not config.force and run.ends_as is None:
            _load_checkpoint(run)
    _check_same_configuration(run)
    altered = None if config.force else run.altered
    if altered:
        raise ValueError(
            f"{run.path / altered} was cut off or altered since its run ended; put the "
            "original back, or add force=true to train this run again"
        )


def _kind_of(config: DictConfig) -> str:
    """Return what a dry run depends on: no seed, and no rates or other numbers with a fraction."""

    def blank(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: blank(value) for key, value in node.items()}
        return float if isinstance(node, float) else node

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return repr({key: blank(node) for key, node in plain.items() if key in usual_choices()})


def _on_the_cpu(config: DictConfig) -> DictConfig:
    copy = config.copy()
    copy.trainer.device = "cpu"
    return copy


def perform(run: Run, *, show: bool = False) -> str | None:
    """Do as :func:`complete` does, but let an error become this run's status and log.

    The other runs of a sweep go on: a launcher may stop at an error. Returns the status, or
    :data:`IN_USE`.
    """
    end_with_parent()
    try:
        return complete(run, show=show)
    except RunInUseError:
        return IN_USE
    except Exception:
        return run.status


def complete(run: Run, *, show: bool = False) -> Status:
    """Do a run unless it is finished; resume it where a killed process stopped.

    Args:
        run: Planned.
        show: Whether to show a progress bar of epochs.

    Returns:
        ``done`` or ``diverged``.

    Raises:
        RunInUseError: Another process has the run.
        OSError: The disk is full, say. What was written is kept; the run goes on from there.
        ValueError: As :func:`prepare`.
    """
    if not run.pending and (status := run.status):
        return status
    _check_same_configuration(run)
    make_room([run])
    with run.lock() as mine:
        if not mine:
            raise RunInUseError(f"{run.path} is being run by another process")
        try:
            return _hold(run, show=show)
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                reason = f"{os.strerror(error.errno)}: make room, and the same command resumes"
                with suppress(OSError):
                    run.set_status("running", error=reason)
            raise


def _hold(run: Run, *, show: bool) -> Status:
    """Do what this process has the lock of."""
    status, state = run.status, None
    run.tidy()
    if status is not None and not run.pending:
        return status  # by somebody else, since we looked
    if status == "running" and not run.composed.force:
        ended = run.ends_as
        if ended is not None:
            run.finish(ended)
            return ended
        state = _load_checkpoint(run)
    if state is None:
        run.clear()
    run.set_status("running")
    with logging_to(run.files.log):
        return _attempt(run, state=state, show=show)


def _attempt(run: Run, *, state: dict[str, Any] | None, show: bool) -> Status:
    config, files = run.composed, run.files
    about = manifest(
        command=run.command,
        device=str(resolve_device(config.trainer.device)),
        threads=config.trainer.threads,
        choices=run.choices,
    )
    about["start"] = datetime.now(UTC).isoformat()
    if state is not None:
        about["resumed_at_step"] = state["step"]
        logger.info("resuming at step %d", state["step"])
    write_atomically(files.config, kept := resolved(config))
    write_json(files.manifest, about)
    logger.info("%s, seed %d", run.group, run.seed)
    began = time.perf_counter()
    try:
        if not is_of(run, kept_configuration(kept)):
            raise ValueError("the weights of init_from have changed since the command began")
        parts = build(config)
        for line in parts.dataset.describe():
            logger.info("data: %s", line)
        diverged = train(run, parts, state=state, show=show)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            logger.error("stopped: %s", error)
            raise  # it is not failed, and goes on from its checkpoint
        logger.error("failed\n%s", traceback.format_exc())
        run.set_status("failed", error=f"{type(error).__name__}: {error}")
        raise
    write_json(files.manifest, about | {"end": datetime.now(UTC).isoformat()})
    status: Status = "diverged" if diverged else "done"
    logger.info("%s after %.1f s", status, time.perf_counter() - began)
    run.finish(status)
    return status


def _load_checkpoint(run: Run) -> dict[str, Any] | None:
    """Return where a run goes on, ``None`` where it has no checkpoint.

    Raises:
        ValueError: It is cut off or altered, or the records that go with it are.
    """
    checkpoint = run.files.checkpoint
    try:
        state = load_checkpoint(checkpoint)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        check_marks(run, state.get("records"))
    except ValueError as error:
        if not checkpoint.exists():
            return None  # another process ended the run meanwhile
        raise ValueError(
            f"{run.path}: {error}, so its checkpoint is of no use; delete "
            f"{checkpoint.name} to train this run from its start"
        ) from error
    return state


def _check_same_configuration(run: Run) -> None:
    try:
        text = read_yaml(run.files.config)
        assert "${" not in text  # all was resolved; what refers to itself could grow for ever
        same = is_of(run, kept_configuration(text))
    except (FileNotFoundError, NotADirectoryError):
        return
    except Exception:  # whatever an altered file makes its readers raise
        same = False
    if not same:
        raise ValueError(
            f"{run.path} holds a different configuration (config.yaml differs); "
            "move that folder away or choose another name=..."
        )
