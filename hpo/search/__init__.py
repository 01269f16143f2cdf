"""Proposing configurations, with Optuna's samplers, and asking the stopping rule which trials end early."""
