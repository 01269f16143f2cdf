"""A trained model on disk: written, read again, and asked for predictions, without the objective's own code."""
