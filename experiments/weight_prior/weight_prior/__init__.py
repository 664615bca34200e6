"""Measures of the study ``weight_prior``: what a belief about the weights does to training."""
