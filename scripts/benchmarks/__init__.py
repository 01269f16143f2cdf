"""Benchmarks of the platform: one module a suite, see __main__.py."""
