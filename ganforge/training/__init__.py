"""What happens: the step, its values, its numbers."""
