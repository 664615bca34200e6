"""What TensorBoard shows of a run beside its curves: pictures, histograms, precision and recall.

:class:`Album` decides what is due; the other files draw. Nothing here changes what is trained.
"""

from losslab.pictures.album import Album

__all__ = ["Album"]
