-- A live run may warm up over recorded ticks from before it goes live, and keeps snapshots of its
-- state, so that its journal need not be kept from its first event on.

set local search_path = quantlab;

-- The run's time begins at began_ns, its orders count from live_ns on.
alter table strategy_run add column live_ns bigint;
-- The owner of the tables is no tenant: for this one statement their policies do not hold for it.
alter table strategy_run no force row level security;
update strategy_run set live_ns = began_ns;
alter table strategy_run force row level security;
alter table strategy_run alter column live_ns set not null;
alter table strategy_run add constraint strategy_run_live_check check (began_ns <= live_ns);

-- The state after a step, which hashes to state_hash; image_hash is that of the image's bytes.
create table strategy_run_snapshot (
  tenant_id text not null references tenant,
  run_id uuid not null,
  step bigint not null check (step > 0),
  state_hash text not null,
  orders bigint not null,
  desk json not null,
  image bytea not null,
  image_hash text not null,
  primary key (tenant_id, run_id, step),
  foreign key (tenant_id, run_id) references strategy_run
);

alter table strategy_run_snapshot enable row level security;
alter table strategy_run_snapshot force row level security;
create policy tenant_rows on strategy_run_snapshot to quantlab_app
  using (tenant_id = current_tenant()) with check (tenant_id = current_tenant());
grant select, insert, delete on strategy_run_snapshot to quantlab_app;
grant delete on strategy_run_step, strategy_run_line to quantlab_app;
