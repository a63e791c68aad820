"""The headline metric over the worker count."""
