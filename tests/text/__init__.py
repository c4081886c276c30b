"""Text that leaves the process."""
