"""Instruments, quotes, the quote gate, bars and currency conversion.

It must not know accounts, orders or rules.
"""
