class Mine:
    """A task's code that has no hyperparameter's name."""
