"""Stopping rules: which trials end early. One module a rule, with all that is to know of it; `rules.py` finds them.

Light: `hpo check` reads a rule's section, and loads no library for it.
"""
