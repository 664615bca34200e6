"""Measures and remedies of the study ``lost_classes``."""
