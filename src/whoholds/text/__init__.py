"""Text that leaves the process: secrets redacted, literals replaced, statements summarised. Imports nothing of ours.

Any thread may call it.
"""
