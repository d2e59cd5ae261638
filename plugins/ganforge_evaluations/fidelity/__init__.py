"""Translations against real pictures in the features of a known network: FID, KID, precision and recall, LPIPS."""
