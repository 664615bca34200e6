"""What can be chosen, one line each, from the first comment of each file in ``conf``."""

from losslab.experiment.compose import CONFIG_FOLDER, Composer, usual_choices


def groups() -> list[str]:
    """Return the config groups, those of a run in the order of the defaults list first."""
    folders = sorted(path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir())
    usual = list(usual_choices())
    return sorted(folders, key=lambda group: usual.index(group) if group in usual else len(usual))


def describe(composer: Composer, group: str) -> dict[str, str]:
    """Return choice to its one-line description.

    >>> with Composer() as composer:
    ...     print(describe(composer, "schedule")["constant"])
    The learning rate stays as it is
    """
    return {
        choice: _first_comment(composer.file(group, choice).read_text("utf-8"))
        for choice in composer.choices(group)
    }


def _first_comment(text: str) -> str:
    comments = (line.lstrip("# ") for line in text.splitlines() if line.startswith("# "))
    return next((line for line in comments if not line.startswith("@package")), "")
