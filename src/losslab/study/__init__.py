"""Many runs: a sweep over the cores, and a study with its claims."""

from losslab.study.definition import Study, studies
from losslab.study.launch import Failed, launch, outcome
from losslab.study.run import run_study

__all__ = ["Failed", "Study", "launch", "outcome", "run_study", "studies"]
