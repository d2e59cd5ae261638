"""Recipes: read, resolved to a plan, and locked."""
