"""The calls that stand on the user's stack in the place of a library's own.

The folder's name is a tool: `warnings` passes over frames whose path has both "importlib" and "_bootstrap" in it when
it counts `stacklevel`, so that a library's warning goes on blaming the caller's line and not ours.
"""
