"""The metrics of a run: one table of definitions, from which values, JSON keys and docs come."""
