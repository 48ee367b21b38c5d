-- The spine: tenants, accounts, the inbox, orders, the ledger, events, the outbox and the audit log.
-- Run by the owner role. The application role owns nothing; every tenant table forces row-level
-- security on the tenant of the transaction, and append-only tables grant neither UPDATE nor DELETE.

create schema if not exists quantlab;
grant usage on schema quantlab to quantlab_app, quantlab_lookup;
set local search_path = quantlab;

create function current_tenant() returns text language sql stable parallel safe
  as $$ select nullif(current_setting('app.tenant', true), '') $$;

create table tenant (
  tenant_id text primary key check (tenant_id ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
  status text not null default 'active' check (status in ('active', 'suspended')),
  config_version text,
  event_seq bigint not null default 0,
  created_at timestamptz not null default now()
);

create table tenant_config (
  tenant_id text not null references tenant,
  version text not null,
  document json not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, version)
);

-- What must be found before the tenant is known; only digests, read by exact match.
create table directory (
  tenant_id text not null references tenant,
  kind text not null check (kind in ('login', 'api_key', 'bot', 'bot_token', 'host', 'refresh_token', 'session', 'mail_token')),
  lookup_hash bytea not null check (octet_length(lookup_hash) = 32),
  object_id text not null,
  primary key (kind, lookup_hash)
);
create index directory_object on directory (tenant_id, kind, object_id);

create table account (
  tenant_id text not null references tenant,
  account_id uuid not null,
  user_id uuid,
  status text not null check (status in ('active', 'locked', 'disabled', 'closed')),
  status_reason text,
  account_type text not null,
  config_version text not null,
  currency text not null check (currency ~ '^[A-Z]{3,5}$'),
  currency_digits smallint not null check (currency_digits between 0 and 8),
  initial_balance_minor bigint not null,
  balance_minor bigint not null,
  carry_micro bigint not null default 0 check (abs(carry_micro) <= 500000),
  high_water_minor bigint not null,
  event_seq bigint not null default 0,
  day_date date not null,
  day_started_ns bigint not null,
  day_next_reset_ns bigint not null,
  day_start_balance_minor bigint not null,
  day_start_equity_minor bigint not null,
  day_realised_minor bigint not null default 0,
  day_traded boolean not null default false,
  raised text[] not null default '{}',
  created_at timestamptz not null default now(),
  primary key (tenant_id, account_id),
  foreign key (tenant_id, config_version) references tenant_config
) with (fillfactor = 70);
create index account_user on account (tenant_id, user_id);
create index account_reset on account (tenant_id, day_next_reset_ns);

create table account_day (
  tenant_id text not null,
  account_id uuid not null,
  date date not null,
  realised_minor bigint not null,
  traded boolean not null,
  primary key (tenant_id, account_id, date)
);

create table position (
  tenant_id text not null,
  account_id uuid not null,
  symbol text not null,
  size_steps bigint not null check (size_steps <> 0),
  cost bigint not null,
  stop_loss_ticks bigint,
  take_profit_ticks bigint,
  opened_at_ns bigint not null,
  opened_seq bigint not null,
  primary key (tenant_id, account_id, symbol)
) with (fillfactor = 70);

create table bot (
  tenant_id text not null references tenant,
  bot_id uuid not null,
  name text not null,
  status text not null check (status in ('active', 'disabled')),
  account_id uuid not null,
  account_ids uuid[] not null,
  secret_cipher bytea not null,
  previous_secret_cipher bytea,
  previous_valid_until timestamptz,
  token_hash bytea not null,
  token_enabled boolean not null default true,
  source_addresses cidr[] not null default '{}',
  created_at timestamptz not null default now(),
  primary key (tenant_id, bot_id),
  foreign key (tenant_id, account_id) references account
);

-- The queue's truth: one row a command, done in the transaction that carries it out.
-- No foreign key to account: it would make the accepting insert wait for the account's writer.
create table inbox (
  tenant_id text not null,
  inbox_id bigint generated always as identity,
  account_id uuid,
  source_kind text not null check (source_kind in ('bot', 'user', 'watch', 'schedule', 'operator')),
  source_id text not null,
  idempotency_key bytea not null check (octet_length(idempotency_key) = 32),
  body_digest bytea not null,
  signal_id uuid not null,
  command text not null,
  payload json not null,
  received_ns bigint not null,
  state smallint not null default 0 check (state in (0, 1, 2)),
  outcome text check (outcome in ('executed', 'rejected', 'refused', 'dead')),
  reason text,
  result json,
  attempts smallint not null default 0,
  duplicates integer not null default 0,
  done_ns bigint,
  primary key (tenant_id, inbox_id),
  unique (tenant_id, source_kind, source_id, idempotency_key),
  unique (tenant_id, signal_id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);
create index inbox_pending on inbox (tenant_id, inbox_id) include (account_id) where state = 0;

create table orders (
  tenant_id text not null,
  order_id uuid not null,
  account_id uuid not null,
  signal_id uuid not null,
  client_id text,
  source_kind text not null,
  symbol text not null,
  side smallint not null check (side in (-1, 1)),
  order_type text not null,
  size_steps bigint not null,
  filled_steps bigint not null,
  stop_loss_ticks bigint,
  take_profit_ticks bigint,
  status text not null check (status in ('filled', 'rejected', 'cancelled')),
  reason text,
  event_seq bigint not null,
  created_ns bigint not null,
  primary key (tenant_id, order_id)
);
create index orders_account on orders (tenant_id, account_id, event_seq);

create table fill (
  tenant_id text not null,
  account_id uuid not null,
  event_seq bigint not null,
  fill_id uuid not null,
  order_id uuid not null,
  symbol text not null,
  side smallint not null check (side in (-1, 1)),
  size_steps bigint not null check (size_steps > 0),
  price_ticks bigint not null,
  slippage_ticks bigint not null,
  bid_ticks bigint not null,
  ask_ticks bigint not null,
  quote_ts_ns bigint not null,
  quote_seq bigint not null,
  rate_num bigint not null,
  rate_den bigint not null,
  realised_minor bigint not null,
  commission_minor bigint not null,
  config_version text not null,
  engine_version text not null,
  filled_ns bigint not null,
  primary key (tenant_id, account_id, event_seq)
);

create table ledger_entry (
  tenant_id text not null,
  account_id uuid not null,
  event_seq bigint not null,
  kind text not null check (kind in ('deposit', 'realised', 'commission')),
  amount_minor bigint not null,
  carry_micro bigint not null,
  balance_minor bigint not null,
  at_ns bigint not null,
  primary key (tenant_id, account_id, event_seq, kind)
);

create table violation (
  tenant_id text not null,
  account_id uuid not null,
  event_seq bigint not null,
  rule text not null,
  action text not null,
  verdict json not null,
  at_ns bigint not null,
  primary key (tenant_id, account_id, event_seq)
);

-- stream_id is the account, or the zero UUID for events of the tenant; seq is gapless per stream.
create table event (
  tenant_id text not null,
  stream_id uuid not null,
  seq bigint not null,
  event_type text not null,
  occurred_ns bigint not null,
  payload json not null,
  primary key (tenant_id, stream_id, seq)
);

-- topic: 1 audit, 2 publish; a row names a range of events and is deleted when they are handled.
create table outbox (
  tenant_id text not null,
  outbox_id bigint generated always as identity,
  topic smallint not null,
  stream_id uuid not null,
  from_seq bigint not null,
  to_seq bigint not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, topic, outbox_id)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);

create table audit_head (
  tenant_id text not null,
  stream_id uuid not null,
  seq bigint not null,
  hash bytea not null,
  primary key (tenant_id, stream_id)
) with (fillfactor = 70);

create table audit_log (
  tenant_id text not null,
  stream_id uuid not null,
  seq bigint not null,
  event_type text not null,
  occurred_ns bigint not null,
  salt bytea check (octet_length(salt) = 16),
  payload json,
  payload_digest bytea not null check (octet_length(payload_digest) = 32),
  prev_hash bytea not null check (octet_length(prev_hash) = 32),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (tenant_id, stream_id, seq)
);
create index audit_log_time on audit_log (tenant_id, occurred_ns);

-- Attempts nobody could be held to: a count per minute, source and reason, never a row an attempt.
create table unauthenticated_attempt (
  minute timestamptz not null,
  source text not null,
  reason text not null,
  attempts bigint not null,
  primary key (minute, source, reason)
);

do $$
declare name text;
begin
  foreach name in array array['tenant', 'tenant_config', 'directory', 'account', 'account_day', 'position', 'bot',
    'inbox', 'orders', 'fill', 'ledger_entry', 'violation', 'event', 'outbox', 'audit_head', 'audit_log']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
  end loop;
  foreach name in array array['tenant', 'account', 'position', 'bot', 'inbox', 'audit_head', 'outbox']
  loop execute format('grant select, insert, update on %I to quantlab_app', name); end loop;
  foreach name in array array['position', 'directory', 'outbox', 'inbox']
  loop execute format('grant select, insert, delete on %I to quantlab_app', name); end loop;
  foreach name in array array['tenant_config', 'account_day', 'orders', 'fill', 'ledger_entry', 'violation', 'event', 'audit_log']
  loop execute format('grant select, insert on %I to quantlab_app', name); end loop;
end $$;

alter table unauthenticated_attempt enable row level security;
alter table unauthenticated_attempt force row level security;
create policy lookup_rows on unauthenticated_attempt to quantlab_lookup using (true) with check (true);
grant select, insert, update, delete on unauthenticated_attempt to quantlab_lookup;

-- Look-ups across tenants: functions of a role that may log in nowhere and bypasses nothing.
create policy lookup_rows on directory for select to quantlab_lookup using (true);
create policy lookup_rows on inbox for select to quantlab_lookup using (state = 0);
create policy lookup_rows on outbox for select to quantlab_lookup using (true);
create policy lookup_rows on tenant for select to quantlab_lookup using (true);
create policy lookup_rows on account for select to quantlab_lookup using (true);
grant select on directory to quantlab_lookup;
grant select (tenant_id, inbox_id, state) on inbox to quantlab_lookup;
grant select (tenant_id, topic, created_at) on outbox to quantlab_lookup;
grant select (tenant_id, status) on tenant to quantlab_lookup;
grant select (tenant_id, day_next_reset_ns, status) on account to quantlab_lookup;

create function find_in_directory(_kind text, _lookup_hash bytea)
  returns table (tenant_id text, object_id text)
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select d.tenant_id, d.object_id from directory d where d.kind = _kind and d.lookup_hash = _lookup_hash $$;

create function pending_tenants() returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select i.tenant_id from inbox i where i.state = 0 group by i.tenant_id order by min(i.inbox_id) $$;

create function outbox_tenants(_topic smallint, _older_than interval) returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select o.tenant_id from outbox o where o.topic = _topic and o.created_at <= now() - _older_than group by o.tenant_id order by min(o.created_at) $$;

create function active_tenants() returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select t.tenant_id from tenant t where t.status = 'active' order by t.tenant_id $$;

create function tenants_with_due_reset(_now_ns bigint) returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select distinct a.tenant_id from account a where a.day_next_reset_ns <= _now_ns and a.status <> 'closed' $$;

create function count_unauthenticated(_minute timestamptz, _source text, _reason text, _attempts bigint) returns void
  language sql security definer set search_path = quantlab, pg_temp
  as $$ insert into unauthenticated_attempt as u values (_minute, _source, _reason, _attempts)
        on conflict (minute, source, reason) do update set attempts = u.attempts + excluded.attempts $$;

create function unauthenticated_attempts(_since timestamptz)
  returns table (minute timestamptz, source text, reason text, attempts bigint)
  language sql stable security definer set search_path = quantlab, pg_temp
  as $$ select u.minute, u.source, u.reason, u.attempts from unauthenticated_attempt u where u.minute >= _since order by 1, 2, 3 $$;

create function drop_unauthenticated_before(_minute timestamptz) returns bigint
  language sql security definer set search_path = quantlab, pg_temp
  as $$ with gone as (delete from unauthenticated_attempt where minute < _minute returning 1) select count(*) from gone $$;

-- Retention erases the payload and its salt and nothing else: digests and the chain stay.
create policy retention_rows on audit_log to quantlab_lookup using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, update (payload, salt) on audit_log to quantlab_lookup;
create function erase_audit_payloads(_stream_id uuid, _before_ns bigint) returns bigint
  language sql security definer set search_path = quantlab, pg_temp
  as $$ with gone as (update audit_log set payload = null, salt = null
          where tenant_id = current_tenant() and stream_id = _stream_id and occurred_ns < _before_ns and payload is not null
          returning 1) select count(*) from gone $$;

do $$
declare name text;
begin
  foreach name in array array['find_in_directory(text, bytea)', 'pending_tenants()', 'outbox_tenants(smallint, interval)',
    'active_tenants()', 'tenants_with_due_reset(bigint)', 'count_unauthenticated(timestamptz, text, text, bigint)',
    'unauthenticated_attempts(timestamptz)', 'drop_unauthenticated_before(timestamptz)', 'erase_audit_payloads(uuid, bigint)']
  loop
    execute format('revoke execute on function %s from public', name);
    execute format('grant execute on function %s to quantlab_app', name);
  end loop;
end $$;
grant create on schema quantlab to quantlab_lookup;
alter function find_in_directory(text, bytea) owner to quantlab_lookup;
alter function pending_tenants() owner to quantlab_lookup;
alter function outbox_tenants(smallint, interval) owner to quantlab_lookup;
alter function active_tenants() owner to quantlab_lookup;
alter function tenants_with_due_reset(bigint) owner to quantlab_lookup;
alter function count_unauthenticated(timestamptz, text, text, bigint) owner to quantlab_lookup;
alter function unauthenticated_attempts(timestamptz) owner to quantlab_lookup;
alter function drop_unauthenticated_before(timestamptz) owner to quantlab_lookup;
alter function erase_audit_payloads(uuid, bigint) owner to quantlab_lookup;
revoke create on schema quantlab from quantlab_lookup;

-- Locks the accounts that have pending commands and remembers them for the statements that follow
-- in the same transaction: what they read is newer than the lock (a single statement would read
-- the snapshot from before it and execute twice).
create function claim_accounts(_max_rows integer, out accounts integer, out notes boolean)
  language plpgsql set search_path = quantlab, pg_temp
as $$
declare claimed uuid[];
begin
  select array_agg(locked.account_id) into claimed from (
    select a.account_id from account a
    where a.tenant_id = current_tenant() and a.account_id = any (array(
      select i.account_id from inbox i
      where i.tenant_id = current_tenant() and i.state = 0 and i.account_id is not null
      order by i.inbox_id limit _max_rows))
    order by a.account_id for update skip locked) locked;
  perform set_config('app.claimed', coalesce(claimed, '{}'::uuid[])::text, true);
  accounts := coalesce(cardinality(claimed), 0);
  notes := exists (select from inbox i where i.tenant_id = current_tenant() and i.state = 0 and i.account_id is null);
end $$;
grant execute on function claim_accounts(integer), current_tenant() to quantlab_app, quantlab_lookup;
