"""MLflow, kept like the study by a process of its own."""
