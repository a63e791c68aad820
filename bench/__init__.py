"""Benchcast: where a Spark or TensorFlow job should run, on how many workers, and at what cost."""

__version__ = "0.1.0"
