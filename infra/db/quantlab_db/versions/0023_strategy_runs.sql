-- Strategies that run live: what each is, all that it was fed, and what it said. The journal is only
-- added to, in the transaction that puts the orders which came of it into the inbox.

set local search_path = quantlab;

alter table inbox drop constraint inbox_source_kind_check;
alter table inbox add constraint inbox_source_kind_check
  check (source_kind in ('bot', 'user', 'watch', 'schedule', 'operator', 'strategy'));

-- terms and inputs are what a replay begins with. events, orders, state_hash, feed_seqs and
-- account_seq are those of the last step of the journal.
create table strategy_run (
  tenant_id text not null references tenant,
  run_id uuid not null,
  account_id uuid not null,
  strategy_id uuid not null,
  version integer not null,
  source_hash text not null check (source_hash ~ '^[0-9a-f]{64}$'),
  user_id uuid,
  created_by text not null,
  symbol text not null,
  inputs json not null,
  terms json not null,
  limits json not null,
  status text not null check (status in ('starting', 'running', 'stopping', 'stopped', 'killed', 'failed')),
  reason text,
  detail text,
  holder_id uuid,
  cancels_orders boolean not null,
  began_ns bigint not null,
  ended_ns bigint,
  steps bigint not null default 0,
  events bigint not null default 0,
  orders bigint not null default 0,
  orders_sent bigint not null default 0,
  orders_refused bigint not null default 0,
  state_hash text,
  feed_seqs json not null default '{}',
  account_seq bigint not null default 0,
  primary key (tenant_id, run_id),
  foreign key (tenant_id, strategy_id, version) references strategy_version,
  check ((ended_ns is null) = (status in ('starting', 'running', 'stopping'))),
  check (ended_ns is null or reason is not null)
);
create index strategy_run_of_account on strategy_run (tenant_id, account_id, run_id);
create index strategy_run_open on strategy_run (tenant_id, run_id) where ended_ns is null;

create table strategy_run_step (
  tenant_id text not null,
  run_id uuid not null,
  step bigint not null check (step > 0),
  words bytea not null,
  primary key (tenant_id, run_id, step),
  foreign key (tenant_id, run_id) references strategy_run
);

create table strategy_run_line (
  tenant_id text not null,
  run_id uuid not null,
  step bigint not null,
  place integer not null,
  ns bigint not null,
  kind text not null,
  line text not null,
  primary key (tenant_id, run_id, step, place),
  foreign key (tenant_id, run_id) references strategy_run
);

do $$
declare name text;
begin
  foreach name in array array['strategy_run', 'strategy_run_step', 'strategy_run_line']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
    execute format('grant select, insert on %I to quantlab_app', name);
  end loop;
end $$;
grant update (status, reason, detail, holder_id, ended_ns, steps, events, orders, orders_sent, orders_refused,
  state_hash, feed_seqs, account_seq) on strategy_run to quantlab_app;

-- Who has a run that has not ended.
create policy lookup_rows on strategy_run for select to quantlab_lookup using (ended_ns is null);
grant select (tenant_id, ended_ns) on strategy_run to quantlab_lookup;

create function strategy_run_tenants() returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
as $$ select distinct r.tenant_id from strategy_run r where r.ended_ns is null order by 1 $$;

revoke execute on function strategy_run_tenants() from public;
grant execute on function strategy_run_tenants() to quantlab_app;
grant create on schema quantlab to quantlab_lookup;
alter function strategy_run_tenants() owner to quantlab_lookup;
revoke create on schema quantlab from quantlab_lookup;
