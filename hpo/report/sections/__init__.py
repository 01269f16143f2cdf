"""The report's sections, one module a section: what is said of a study under one heading (hpo.report.contents)."""
