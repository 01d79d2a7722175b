"""The HTTP face of control: one router per noun, strict bodies, and one shape for every error.

{"error": {"path": "timeout.attempt", "problem": "250ms is longer than …"}}
"""
