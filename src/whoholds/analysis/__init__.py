"""What a look works with: snapshots, their history, rules and findings. Runs in the ticking thread."""
