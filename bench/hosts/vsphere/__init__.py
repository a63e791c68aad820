"""vSphere as a source of machines: clones with an owner's mark, found again by it."""
