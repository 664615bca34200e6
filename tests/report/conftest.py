from pathlib import Path

import pytest

from report.factory import tiny_plan, write_study


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study; read it, write elsewhere."""
    return write_study(tmp_path_factory.mktemp("studies") / "tiny", tiny_plan())
