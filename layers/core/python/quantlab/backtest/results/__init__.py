"""What a finished backtest is worth: its trades, metrics, tables, documents and one HTML page.

Everything takes a `run.Run`: arrays and scalars, whatever produced them.
"""
