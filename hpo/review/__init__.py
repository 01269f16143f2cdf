"""Looking at sweeps: while they run, and afterwards."""
