"""One run: open its folder, train, evaluate, write the results."""

import errno
import logging
import os
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.experiment.arguments import normal
from losslab.experiment.build import build
from losslab.experiment.compose import usual_choices
from losslab.experiment.dry_run import dry_run
from losslab.experiment.identity import (
    RunIdentity,
    digest_of,
    identify,
    kept_configuration,
    make_room,
    resolved,
    with_content,
)
from losslab.experiment.log_file import logging_to
from losslab.experiment.train import train
from losslab.files import read_yaml
from losslab.recording import (
    FINISHED,
    RunDirectory,
    Status,
    check_marks,
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
"""What a job returns whose run another process is at."""


class RunInUseError(RuntimeError):
    """Another process is at work on this run."""


def prepare(
    config: DictConfig,
    choices: dict[str, str],
    *,
    elsewhere: bool = False,
    built: set[str] | None = None,
) -> RunIdentity:
    """Check everything about a run that can be checked without training; write nothing.

    Args:
        config: As composed, without Hydra's node.
        choices: Group to choice.
        elsewhere: Whether it will be done on a machine that may have other devices.
        built: What was built before and need not be again, as it differs in the seed alone, or
            dry run again, as it differs in rates alone; this one is added.

    Raises:
        ValueError: In one line: what was given, what is allowed, what to do.
    """
    identity = identify(config, choices)
    directory = identity.directory
    if directory.status not in FINISHED or config.force:
        config = normal(config)
        built = set() if built is None else built
        if identity.digest not in built:
            parts = build(_on_the_cpu(config) if elsewhere else config)
            kind = _kind_of(config)
            if kind not in built:
                dry_run(parts)
            built |= {identity.digest, kind}
        if not config.force and directory.ends_as is None:
            _load_checkpoint(directory)
    _check_same_configuration(directory, identity)
    altered = None if config.force else directory.altered
    if altered:
        raise ValueError(
            f"{directory.path / altered} was cut off or altered since its run ended; put the "
            "original back, or add force=true to train this run again"
        )
    return identity


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


def perform(
    config: DictConfig, choices: dict[str, str], *, command: str, show: bool = False
) -> str | None:
    """Do as :func:`run` does, but let an error become this run's status and log.

    The other runs of a sweep go on: a launcher may stop at an error. Returns the status, or
    :data:`IN_USE`.
    """
    end_with_parent()
    identity = identify(config, choices)
    try:
        return run(config, choices, command=command, show=show)
    except RunInUseError:
        return IN_USE
    except Exception:
        return identity.directory.status


def run(config: DictConfig, choices: dict[str, str], *, command: str, show: bool = False) -> Status:
    """Run a configuration unless it is finished; go on where a killed process stopped.

    Args:
        config: As composed, without Hydra's node.
        choices: Group to choice.
        command: What does this very run again, for its manifest.
        show: Whether to show a progress bar of epochs.

    Returns:
        ``done`` or ``diverged``.

    Raises:
        RunInUseError: Another process has the run.
        OSError: The disk is full, say. What was written is kept; the run goes on from there.
        ValueError: As :func:`prepare`.
    """
    identity, config = identify(config, choices), normal(config)
    config = with_content(config, identity.data)
    directory = identity.directory
    if directory.status in FINISHED and not config.force:
        return directory.status
    _check_same_configuration(directory, identity)
    make_room([identity])
    directory = identity.directory
    with directory.lock() as mine:
        if not mine:
            raise RunInUseError(f"{directory.path} is being run by another process")
        try:
            return _hold(config, identity, choices=choices, command=command, show=show)
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                reason = f"{os.strerror(error.errno)}: make room, and the same command resumes"
                with suppress(OSError):
                    directory.set_status("running", error=reason)
            raise


def _hold(
    config: DictConfig,
    identity: RunIdentity,
    *,
    choices: dict[str, str],
    command: str,
    show: bool,
) -> Status:
    """Run what this process has the lock of."""
    directory = identity.directory
    status, state = directory.status, None
    directory.tidy()
    if status in FINISHED and not config.force:
        return status  # by somebody else, since we looked
    if status == "running" and not config.force:
        ended = directory.ends_as
        if ended is not None:
            directory.finish(ended)
            return ended
        state = _load_checkpoint(directory)
    if state is None:
        directory.clear()
    directory.set_status("running")
    with logging_to(directory.log):
        return _attempt(config, identity, choices=choices, command=command, state=state, show=show)


def _attempt(
    config: DictConfig,
    identity: RunIdentity,
    *,
    choices: dict[str, str],
    command: str,
    state: dict[str, Any] | None,
    show: bool,
) -> Status:
    directory = identity.directory
    about = manifest(
        command=command,
        device=str(resolve_device(config.trainer.device)),
        threads=config.trainer.threads,
        choices=choices,
    )
    about["start"] = datetime.now(UTC).isoformat()
    if state is not None:
        about["resumed_at_step"] = state["step"]
        logger.info("resuming at step %d", state["step"])
    write_atomically(directory.config, resolved(config))
    write_json(directory.manifest, about)
    logger.info("%s, seed %d", identity.group, identity.seed)
    began = time.perf_counter()
    try:
        parts = build(config)
        for line in parts.dataset.describe():
            logger.info("data: %s", line)
        diverged = train(config, parts, identity, choices=choices, state=state, show=show)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            logger.error("stopped: %s", error)
            raise  # it is not failed, and goes on from its checkpoint
        logger.error("failed\n%s", traceback.format_exc())
        directory.set_status("failed", error=f"{type(error).__name__}: {error}")
        raise
    write_json(directory.manifest, about | {"end": datetime.now(UTC).isoformat()})
    status: Status = "diverged" if diverged else "done"
    logger.info("%s after %.1f s", status, time.perf_counter() - began)
    directory.finish(status)
    return status


def _load_checkpoint(directory: RunDirectory) -> dict[str, Any] | None:
    """Return where a run goes on, ``None`` where it has no checkpoint.

    Raises:
        ValueError: It is cut off or altered, or the records that go with it are.
    """
    try:
        state = load_checkpoint(directory.checkpoint)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        check_marks(directory, state.get("records"))
    except ValueError as error:
        if not directory.checkpoint.exists():
            return None  # another process ended the run meanwhile
        raise ValueError(
            f"{directory.path}: {error}, so its checkpoint is of no use; delete "
            f"{directory.checkpoint.name} to train this run from its start"
        ) from error
    return state


def _check_same_configuration(directory: RunDirectory, identity: RunIdentity) -> None:
    try:
        text = read_yaml(directory.config)
        assert "${" not in text  # all was resolved; what refers to itself could grow for ever
        other = kept_configuration(text)
        same = digest_of(other) == identity.digest and other.seed == identity.seed
    except (FileNotFoundError, NotADirectoryError):
        return
    except Exception:  # whatever an altered file makes its readers raise
        same = False
    if not same:
        raise ValueError(
            f"{directory.path} holds a different configuration ({directory.config.name} differs); "
            "move that folder away or choose another name=..."
        )


def _is_of(config: DictConfig, identity: RunIdentity) -> bool:
    return bool(digest_of(config) == identity.digest and config.seed == identity.seed)
