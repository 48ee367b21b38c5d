"""QLS, the strategy language: source text to checked IR, its interpreter, and what editors ask.

It must know neither accounts nor rules: a strategy reads and orders through its host.
"""
