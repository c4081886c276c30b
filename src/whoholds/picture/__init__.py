"""A run as a picture: one HTML file that needs no network.

`page/` has the page's own markup, style and script, `vendor/` the library that draws the curve. This code runs in
commands, after the watched program has ended, and for the page that a program mounts (`web/`); no other watched program
imports it.
"""
