"""Drivers: each teaches the ledger one library, for as long as its `with` block lasts, and undoes itself.

They never import one another; what they share is in `kit`.
"""
