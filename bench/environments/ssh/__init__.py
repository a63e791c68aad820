"""Machines reached over SSH."""

from bench.environments.ssh.environment import KIND, build
from bench.environments.ssh.settings import Settings

__all__ = ["KIND", "Settings", "build"]
