"""The report's plots, one module a plot: each returns a figure of Matplotlib's."""
