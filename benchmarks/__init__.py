"""What is measured, ours beside others; each file says how it is run."""
