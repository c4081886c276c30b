"""The drivers: while its `with` block lasts, each reports one library's connections to the ledger.

At the end of the block a driver undoes what it replaced. Drivers must not import one another; what they share is in
`kit`.
"""
