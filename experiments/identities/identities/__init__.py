"""Measures of the study ``identities``: what the seed document says, row by row."""
