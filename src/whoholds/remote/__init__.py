"""Other processes of this machine: which of them are watched, what they hold, and how one that is not is entered."""
