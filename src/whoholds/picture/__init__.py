"""A run as a picture: one HTML file that needs no network.

`page/` has the page's own markup, style and script, `vendor/` the library that draws the curve. This code runs in
commands and after the watched program has ended; a watched program never imports it before.
"""
