"""Hosts and their processes, over one agent."""
