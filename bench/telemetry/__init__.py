"""What is measured beside the work: the host's sampler."""
