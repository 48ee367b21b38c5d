"""Rule vectors: timelines with the floors, verdicts and states they must lead to.

docs/rules-vectors.md has the format. It must not hold a rule of its own: the engine decides.
"""
