"""How a finding or a run is put into words, and the journal. Runs in the ticking thread, but for `note`."""
