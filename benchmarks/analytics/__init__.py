"""How fast the map and the cycle are on a large mesh, and how much memory they take.

    mesh       a made-up mesh of 500 services and 5,000 edges, written into a store of its own
    measure    the map of 24 hours, and whole cycles, timed; memory of a process that runs nothing else
    report     figures of those
    slos       a thousand objectives over thirty days, and their figures

Run it with ``python -m benchmarks.analytics [--quick] --json FILE``.
"""
