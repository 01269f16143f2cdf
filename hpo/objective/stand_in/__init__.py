"""Stands last on the PYTHONPATH of a sweep's programs: what they find here if nothing else has the name."""
