"""Studies: runs that are planned, tuned, confirmed and measured, each with its claims.

The package is also a function, ``losslab.study("why_squared_error")``: :func:`losslab.api.study`,
whose arguments ``help("losslab.api.study")`` describes.
"""

import sys
from typing import TYPE_CHECKING

import losslab

if TYPE_CHECKING:
    from losslab.study.study import Study

__all__ = ["Study"]

__getattr__ = losslab.lazily(__name__, {"Study": "losslab.study.study"})
sys.modules[__name__].__class__ = losslab.StudyPackage
