"""Strategies as they run live: fed event by event, with the code and the layout of a backtest.

It must not know how events come about, nor what becomes of the orders it hands out.
"""
