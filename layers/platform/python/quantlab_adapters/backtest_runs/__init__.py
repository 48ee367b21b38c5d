"""Backtests in child processes, and where their results lie."""
