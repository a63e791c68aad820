"""Clones on a vSphere cluster."""

from bench.environments.vsphere.environment import KIND, Settings, build

__all__ = ["KIND", "Settings", "build"]
