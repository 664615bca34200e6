"""A run as it is handed to whoever does it."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from omegaconf import DictConfig

from losslab.experiment.identity import RunIdentity, identify, with_content
from losslab.experiment.run import perform


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run, composed and checked; it travels to other processes and machines.

    It is composed once, where the command is given, and not again by each worker, which would
    cost a second run of a sweep half as much again.

    Attributes:
        config: Without Hydra's node; not yet resolved, as its cache may lie elsewhere there.
        choices: Group to choice.
        command: What does this very run again, as typed into a shell.
    """

    config: DictConfig
    choices: dict[str, str]
    command: str

    @cached_property
    def identity(self) -> RunIdentity:
        """Where its results are."""
        return identify(self.config, self.choices)

    def __call__(self, *, show: bool = False) -> str | None:
        """Do the run; an error is in its status and log, so that the others go on.

        Args:
            show: Whether to show a progress bar of epochs.

        Returns:
            Its status, or :data:`~losslab.experiment.IN_USE`.
        """
        # The data must still be those that were checked where the command was given.
        config = with_content(self.config, self.identity.data)
        return perform(config, self.choices, command=self.command, show=show)


def command_for(overrides: Sequence[str], *, flags: Sequence[str] = ()) -> str:
    """Return what does a run again, without who did it.

    >>> command_for(["loss=mse", "launcher=ray", "hydra.verbose=true", "seed=0"])
    'losslab train loss=mse seed=0'
    """
    own = [text for text in overrides if not re.match(r"[+~]*(hydra|launcher|sweeper)[./=]", text)]
    return shlex.join(["losslab", "train", *flags, *own])
