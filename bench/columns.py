"""The columns of an account that benches copy from one that was opened as usual."""

from typing import Final, LiteralString

ACCOUNT: Final[LiteralString] = """tenant_id, account_id, user_id, status, account_type,
  config_version, currency, currency_digits, initial_balance_minor, balance_minor, carry_micro,
  high_water_minor, event_seq, day_date, day_started_ns, day_next_reset_ns,
  day_start_balance_minor, day_start_equity_minor"""
# A copy begins with these, each with an identifier of its own; the rest is the bench's.
COPIED: Final[LiteralString] = """tenant_id, md5(tenant_id || g)::uuid, user_id, status,
  account_type, config_version, currency, currency_digits, initial_balance_minor"""
