"""losslab: why does squared error underperform cross-entropy for classification?"""

__version__ = "0.1.0"
