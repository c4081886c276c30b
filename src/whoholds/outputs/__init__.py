"""Outputs: they report findings. Each is a `plugins.Output`, in one file, with one row in `limits.OUTPUTS`.

The ticking thread calls them; only `otel.statements` runs in the user's thread.
"""
