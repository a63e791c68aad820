"""The time on other worker counts, replayed from one Spark event log."""
