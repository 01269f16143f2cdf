"""Is the winner really better? It and the baseline are trained again over fresh seeds, and measured once."""
