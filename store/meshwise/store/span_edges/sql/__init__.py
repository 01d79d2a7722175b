"""SQL of the edges that are derived from spans."""
