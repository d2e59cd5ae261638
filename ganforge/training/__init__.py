"""Training: the step, its values and losses, and how they are computed."""
