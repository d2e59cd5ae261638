"""Data: data sets, their samples, and the batch of every step."""
