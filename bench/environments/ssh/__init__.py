"""Machines reached over SSH."""

from bench.environments.ssh.environment import KIND, Settings, build

__all__ = ["KIND", "Settings", "build"]
