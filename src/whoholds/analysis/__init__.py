"""The values that a look works with: frames, sites, snapshots, their history, rules and findings.

The ticking thread runs this code, except where a module says otherwise.
"""
