"""Where losslab's own configuration files are."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries conf/ inside the package; a checkout has it at its root.
CONFIG_FOLDER = next(
    folder for folder in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if folder.is_dir()
)
# Studies that need code of their own lie with it in a checkout's notebook; a wheel has none.
STUDY_FOLDERS = sorted(path.parent for path in CONFIG_FOLDER.parent.glob("experiments/*/study"))
