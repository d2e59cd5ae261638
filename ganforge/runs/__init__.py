"""What stays: runs, checkpoints, and what was trained."""
