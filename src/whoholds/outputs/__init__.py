"""Outputs: where findings go, each a `plugins.Output`, one file and one row in `limits.OUTPUTS`. Called on the tick."""
