"""Time over the worker count."""
