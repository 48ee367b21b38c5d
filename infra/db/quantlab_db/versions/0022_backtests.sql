-- Backtests: what is to be run, by which worker it is held, and how it ended. The results lie in
-- files; the row has the hash of the run and its main figures.

set local search_path = quantlab;

-- A run is of a saved version, or of the source in the row. What it depends on does not change any
-- more: source, inputs, symbols, range of recorded ticks, configuration, seed.
create table backtest (
  tenant_id text not null references tenant,
  backtest_id uuid not null,
  user_id uuid,
  created_by text not null,
  strategy_id uuid,
  version integer,
  source text,
  source_hash text not null check (source_hash ~ '^[0-9a-f]{64}$'),
  symbols text[] not null,
  from_ns bigint not null,
  to_ns bigint not null check (from_ns < to_ns),
  account_type text,
  config_version text,
  inputs json not null,
  seed bigint not null check (seed >= 0),
  status text not null default 'queued'
    check (status in ('queued', 'running', 'done', 'failed', 'cancelled')),
  error text,
  error_detail text,
  ticks_total bigint,
  ticks_done bigint not null default 0,
  attempts integer not null default 0,
  cancel_requested boolean not null default false,
  lease_id uuid,
  leased_until_ns bigint not null default 0,
  created_ns bigint not null,
  started_ns bigint,
  ended_ns bigint,
  trace_hash text,
  summary json,
  result_key text,
  primary key (tenant_id, backtest_id),
  foreign key (tenant_id, strategy_id, version) references strategy_version,
  check ((strategy_id is null) = (version is null) and (strategy_id is null) = (source is not null)),
  check ((account_type is null) = (config_version is null)),
  check ((status = 'failed') = (error is not null)),
  check ((status = 'done') = (result_key is not null))
);
create index backtest_newest on backtest (tenant_id, created_ns, backtest_id);
create index backtest_open on backtest (tenant_id, user_id, created_ns) where status in ('queued', 'running');

alter table backtest enable row level security;
alter table backtest force row level security;
create policy tenant_rows on backtest to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, insert on backtest to quantlab_app;
grant update (status, error, error_detail, ticks_total, ticks_done, attempts, cancel_requested, lease_id,
  leased_until_ns, started_ns, ended_ns, trace_hash, summary, result_key) on backtest to quantlab_app;

-- Who has a run that waits, or one whose worker has let its lease end.
create policy lookup_rows on backtest for select to quantlab_lookup using (status in ('queued', 'running'));
grant select (tenant_id, status, leased_until_ns) on backtest to quantlab_lookup;

create function backtest_tenants(_now_ns bigint) returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
as $$
  select b.tenant_id from backtest b
  where b.status in ('queued', 'running') and b.leased_until_ns <= _now_ns
  group by b.tenant_id order by b.tenant_id
$$;

revoke execute on function backtest_tenants(bigint) from public;
grant execute on function backtest_tenants(bigint) to quantlab_app;
grant create on schema quantlab to quantlab_lookup;
alter function backtest_tenants(bigint) owner to quantlab_lookup;
revoke create on schema quantlab from quantlab_lookup;
