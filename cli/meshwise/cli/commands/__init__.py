"""The verbs of the command line, one module per group; each registers itself on the command tree.

``platform`` up, demo, version · ``serve`` one room in the foreground · ``config`` · ``policy`` · ``rollout``
"""
