"""The audit chain: what is hashed, how links follow each other, and where a chain breaks.

It must not know where entries are stored.
"""
