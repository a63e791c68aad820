"""Stored results, read back and answered: what verbs print. Nothing here contacts a machine."""
