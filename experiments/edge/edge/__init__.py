"""Measures of the study ``edge``: the largest stable learning rate, and what predicts it."""
