"""Sweeps on a Ray cluster: the engine in the driver, and what runs on the nodes."""
