"""Runs: their folders, checkpoints and logs, evaluation, and loading trained networks."""
