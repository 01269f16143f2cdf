"""Proposing configurations and stopping trials early, with Optuna's samplers and pruners."""
