"""Tiles: pictures larger than memory, translated piece by piece as if they were whole."""
