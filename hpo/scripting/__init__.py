"""What scripts and notebooks use: `hpo.run`, `hpo.load` and the result of both."""
