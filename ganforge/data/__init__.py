"""What comes in: data sets, the cache of prepared samples, and the batch of every step."""
