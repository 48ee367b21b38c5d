-- Ranges of ticks that a tenant marked bad, what each did to its accounts, and the corrections that
-- two people approved.

alter table ledger_entry drop constraint ledger_entry_kind_check;
alter table ledger_entry add constraint ledger_entry_kind_check check (kind in
  ('deposit', 'realised', 'commission', 'payout', 'adjustment', 'swap', 'correction'));
alter table approval drop constraint approval_kind_check;
alter table approval add constraint approval_kind_check
  check (kind in ('payout', 'override', 'reset', 'correction'));

create table bad_tick_range (
  tenant_id text not null references tenant,
  range_id uuid not null,
  symbol text not null,
  from_seq bigint not null check (from_seq > 0),
  to_seq bigint not null check (to_seq >= from_seq),
  ticks bigint not null check (ticks > 0),
  reason text not null,
  marked_by text not null,
  marked_ns bigint not null,
  withdrawn_by text,
  withdrawn_ns bigint,
  withdrawn_reason text,
  primary key (tenant_id, range_id),
  check ((withdrawn_by is null) = (withdrawn_ns is null)),
  check ((withdrawn_by is null) = (withdrawn_reason is null))
);
create index bad_tick_range_newest on bad_tick_range (tenant_id, marked_ns, range_id);

-- As last recomputed: a correction that was asked for names its difference by the digest.
create table bad_tick_difference (
  tenant_id text not null,
  range_id uuid not null,
  account_id uuid not null,
  event_seq bigint not null,
  affected boolean not null,
  amount_minor bigint,
  document json not null,
  digest text not null check (digest ~ '^[0-9a-f]{64}$'),
  problem text,
  computed_ns bigint not null,
  primary key (tenant_id, range_id, account_id),
  foreign key (tenant_id, range_id) references bad_tick_range,
  foreign key (tenant_id, account_id) references account
);

do $$
declare name text;
begin
  foreach name in array array['bad_tick_range', 'bad_tick_difference']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
  end loop;
end $$;
grant select, insert on bad_tick_range to quantlab_app;
grant update (withdrawn_by, withdrawn_ns, withdrawn_reason) on bad_tick_range to quantlab_app;
grant select, insert, update on bad_tick_difference to quantlab_app;
