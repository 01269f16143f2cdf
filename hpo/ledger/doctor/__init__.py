"""Study, MLflow and disk compared one to one, and repaired from the study."""
