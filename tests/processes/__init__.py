"""Real interpreters: how it comes in, what it leaves alone, and every way in which a process can end."""
