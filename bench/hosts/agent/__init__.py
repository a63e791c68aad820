"""What runs on a host, at the other end of a channel: the standard library and ``bench.errors``."""
