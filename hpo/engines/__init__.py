"""Engines: where assignments run."""
