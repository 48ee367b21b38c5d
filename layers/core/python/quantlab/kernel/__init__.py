"""The words every room shares: exact arithmetic, identifiers, instants, canonical JSON.

It must not know anything of trading.
"""
