"""This machine."""

from bench.environments.local.environment import KIND, Settings, build

__all__ = ["KIND", "Settings", "build"]
