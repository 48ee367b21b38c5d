"""Measurements of the order path, ours and the reference's, in one run and one table."""
