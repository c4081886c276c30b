"""How run.py starts gunicorn for Django: without Python's collector, which would close some of what ended threads left.

Which of it, and when, differs from run to run.
"""

import gc

gc.disable()
