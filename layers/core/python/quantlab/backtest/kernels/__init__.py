"""The loop of a backtest on one block of 64-bit words: plain Python, to be compiled as it stands.

`layout` says what each word holds. A kernel takes the block first and finds everything in it.
"""
