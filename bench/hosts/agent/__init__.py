"""The agent, which runs on a host; it needs only the standard library and ``bench.errors``."""
