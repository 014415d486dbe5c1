"""Reads what changed in Business Central and announces it once."""
