"""Statements behind ``store_queries``, one file each."""
