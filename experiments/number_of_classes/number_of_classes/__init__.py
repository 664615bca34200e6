"""Data and measures of the study ``number_of_classes``."""
