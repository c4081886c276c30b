"""Text that leaves the process: secrets redacted, literals replaced, statements summarised.

Any thread may call these modules. They must import no other room of whoholds.
"""
