"""Machines reached over SSH."""

from bench.environments.ssh.environment import ENVIRONMENT, KIND, Settings, build

__all__ = ["ENVIRONMENT", "KIND", "Settings", "build"]
