"""Who runs a study: one driver, or several that share it."""
