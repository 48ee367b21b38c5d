"""Positions, money and the ledger: exact integers, no rule and no order.

It must not know why something was traded.
"""
