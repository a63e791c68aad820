"""What all workloads share: emitter, data and quality; standard library and numpy only."""
