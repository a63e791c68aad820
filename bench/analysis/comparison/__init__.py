"""Whether runs did the same work, and how their times compare."""
