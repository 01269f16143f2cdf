"""Planning: which trials train together, and how many are wanted at a time."""
