"""Objectives: Python functions, programs and Torch tasks behind one interface."""
