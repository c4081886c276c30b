"""What every driver owes: one contract, run for each library."""
