"""Measures of the study ``datasets``: accuracy, time and calibration at the end of training."""
