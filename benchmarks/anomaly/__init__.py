"""How often the anomaly score is right, how soon, and how often it cries wolf.

    mesh      made-up meshes: who calls whom, how often, how fast
    traffic   what proxies would have counted: days, weeks, nightly jobs, drift and chance
    faults    latency, tail, errors, loss, retry storms, silent drops, from invisible to obvious
    trials    the detector run every ten seconds over a fault, or over hours without one
    rivals    a three-sigma rule and a plain IsolationForest
    report    figures and tables

Run it with ``python -m benchmarks.anomaly [--seed N] [--quick] --json FILE``.
"""
