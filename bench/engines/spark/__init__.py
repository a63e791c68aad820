"""Spark Standalone on given hosts."""
