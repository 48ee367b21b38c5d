-- What a checkpoint of the rules reads of an account, and what it found of it, are records of fixed width:
-- an identifier, then amounts of eight bytes each, the highest first. Those it reads are put together where
-- a row is written, a few at a time, and not where a million are read.

set local search_path = quantlab;

-- The first eight bytes of its SHA-256 stand for a symbol.
create function symbol_key(_symbol text) returns bytea language sql stable parallel safe
  as $$ select substr(sha256(convert_to(_symbol, 'UTF8')), 1, 8) $$;

-- What the account's rows in `position` say, once more: a symbol's key, the size and the cost of each. Who
-- writes those rows writes the account in the same statement.
alter table account add held bytea not null default '';
-- The owner of the tables is no tenant: for these statements their policies do not hold for it.
alter table account no force row level security;
alter table position no force row level security;
update account a set held = p.records
from (
  select tenant_id, account_id, string_agg(
    symbol_key(symbol) || int8send(size_steps) || int8send(cost), null order by symbol, ticket) as records
  from position group by tenant_id, account_id) p
where p.tenant_id = a.tenant_id and p.account_id = a.account_id;
alter table account force row level security;
alter table position force row level security;
-- Last how many positions it holds.
alter table account add checkpoint_record bytea not null generated always as (
  uuid_send(account_id) || int8send(balance_minor) || int8send(carry_micro) || int8send(high_water_minor)
  || int8send(day_next_reset_ns) || int8send(day_start_balance_minor) || int8send(day_start_equity_minor)
  || int8send(day_realised_minor) || int8send(event_seq) || int8send(octet_length(held) / 24)) stored;

create function int8_at(_bytes bytea, _place integer) returns bigint language sql immutable parallel safe
  as $$ select ('x' || encode(substr(_bytes, _place, 8), 'hex'))::bit(64)::bigint $$;

-- A record: account_id, event_seq, state, equity_minor, high_water_minor, breach_below_minor, broken.
alter table rule_checkpoint add findings bytea;
alter table rule_checkpoint alter findings set storage external;
alter table rule_checkpoint no force row level security;
update rule_checkpoint c set findings = (
  select string_agg(uuid_send(a.account_id) || int8send(a.event_seq) || int8send(a.state)
    || int8send(a.equity_minor) || int8send(a.high_water_minor) || int8send(a.breach_below_minor)
    || int8send(a.broken), null order by a.place)
  from unnest(c.account_ids, c.event_seqs, c.states, c.equities_minor, c.high_waters_minor,
    c.breach_below_minor, c.broken) with ordinality
    a (account_id, event_seq, state, equity_minor, high_water_minor, breach_below_minor, broken, place));
alter table rule_checkpoint force row level security;
alter table rule_checkpoint alter findings set not null;

drop view rule_checkpoint_account;
alter table rule_checkpoint drop account_ids, drop event_seqs, drop states, drop equities_minor,
  drop high_waters_minor, drop breach_below_minor, drop broken;
-- They are deleted within hours: what was only inserted is not worth a vacuum.
alter table rule_checkpoint set (autovacuum_vacuum_insert_threshold = -1,
  toast.autovacuum_vacuum_insert_threshold = -1);
-- Read whole once a page, not a piece a record.
create view rule_checkpoint_account with (security_invoker = true) as
  select c.tenant_id, c.checkpoint_ns, c.judged_ns, c.feed_ts_ns, c.first_account, c.last_account,
    encode(substr(p.records, r + 1, 16), 'hex')::uuid as account_id, int8_at(p.records, r + 17) as event_seq,
    int8_at(p.records, r + 25) as state, int8_at(p.records, r + 33) as equity_minor,
    int8_at(p.records, r + 41) as high_water_minor, int8_at(p.records, r + 49) as breach_below_minor,
    int8_at(p.records, r + 57) as broken
  from rule_checkpoint c
  cross join lateral (select c.findings || ''::bytea as records offset 0) p
  cross join lateral generate_series(0, octet_length(p.records) - 64, 64) r;
grant select on rule_checkpoint_account to quantlab_app;
