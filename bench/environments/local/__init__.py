"""This machine."""

from bench.environments.local.environment import ENVIRONMENT, KIND, Settings, build

__all__ = ["ENVIRONMENT", "KIND", "Settings", "build"]
