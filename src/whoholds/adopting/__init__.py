"""Adoption: connections that were open before whoholds came are found once, through the collector's objects.

Nothing here calls a method of an object of the program's, keeps one alive, or changes one.
"""
