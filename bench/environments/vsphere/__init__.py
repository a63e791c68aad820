"""Clones on a vSphere cluster."""

from bench.environments.vsphere.environment import ENVIRONMENT, KIND, Settings, build

__all__ = ["ENVIRONMENT", "KIND", "Settings", "build"]
