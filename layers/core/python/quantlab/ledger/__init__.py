"""Positions, working orders, money and the ledger: exact integers, no rule and no decision.

It must not know why something was traded.
"""
