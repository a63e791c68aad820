"""Clones on a vSphere cluster."""

from bench.environments.vsphere.environment import KIND, build
from bench.environments.vsphere.settings import Settings

__all__ = ["KIND", "Settings", "build"]
