"""Measurements of meshwise, each run as ``python -m benchmarks.<name> [--quick] --json FILE``."""
