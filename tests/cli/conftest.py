from report.conftest import tiny_study

__all__ = ["tiny_study"]
