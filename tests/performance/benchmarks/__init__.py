"""What Benchcast itself costs: start-up, reading results, rendering, its share of a run."""
