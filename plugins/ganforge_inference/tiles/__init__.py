"""Tiles: translating pictures larger than memory piece by piece, as if they were whole."""
