"""The firm's rules as data, and their verdicts with the arithmetic that led to them.

It must not change an account: it answers, the engine acts.
"""
