"""Runs, grouped into cells and curves."""
