"""The ledger: the one writer of trial state, to Optuna first, then to MLflow."""
