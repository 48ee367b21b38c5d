"""What a bot sends: signatures over raw bytes, bodies, idempotency keys.

It must not know accounts or rules.
"""
