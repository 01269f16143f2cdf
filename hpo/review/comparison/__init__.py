"""Choices of a parameter, or studies, compared: `hpo compare`."""
