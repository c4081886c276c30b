"""Findings and runs as text and as records, and the journal's files.

The ticking thread runs this code; only `note` runs in the user's thread.
"""
