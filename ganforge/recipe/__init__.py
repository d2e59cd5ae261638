"""What is wanted: recipes, read, understood, and locked."""
