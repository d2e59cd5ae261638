"""Translations compared with real pictures by a known network's features: FID, KID, precision and recall, LPIPS."""
