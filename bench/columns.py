"""Accounts that benches copy from one that was opened as usual, and what they hold."""

from typing import Final, LiteralString

ACCOUNT: Final[LiteralString] = """tenant_id, account_id, user_id, status, account_type,
  config_version, currency, currency_digits, initial_balance_minor, balance_minor, carry_micro,
  high_water_minor, event_seq, day_date, day_started_ns, day_next_reset_ns,
  day_start_balance_minor, day_start_equity_minor"""
# A copy begins with these, each with an identifier of its own, a UUID of version 7 as the product
# makes them: one account is opened a second. The rest is the bench's.
COPIED: Final[LiteralString] = """tenant_id,
  (lpad(to_hex(1750000000000 + g * 1000), 12, '0') || '7' || left(md5(tenant_id || g), 3) || '8'
    || right(md5(tenant_id || g), 15))::uuid, user_id, status,
  account_type, config_version, currency, currency_digits, initial_balance_minor"""
# Positions that a bench gives by itself, as their accounts' rows repeat them.
HELD: Final[LiteralString] = """
update quantlab.account a set held = p.records
from (select account_id, string_agg(quantlab.symbol_key(symbol) || int8send(size_steps)
    || int8send(cost), null) as records
  from quantlab.position group by account_id) p
where p.account_id = a.account_id
"""
