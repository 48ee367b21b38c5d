"""Backtests: a strategy over recorded quotes, with the order, fill and rule functions of live.

It must not read a clock, a store or a file: what a run needs is handed in.
"""
