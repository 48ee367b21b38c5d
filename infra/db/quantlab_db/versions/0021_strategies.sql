-- Strategies that traders save by name, and every version of their source. A version is never
-- changed and never goes: what was run stays to be read.

set local search_path = quantlab;

-- user_id is the owner; null: the firm, for what an API key has saved.
create table strategy (
  tenant_id text not null references tenant,
  strategy_id uuid not null,
  user_id uuid,
  name text not null check (octet_length(name) <= 400),
  latest_version integer not null check (latest_version > 0),
  created_ns bigint not null,
  updated_ns bigint not null,
  archived_ns bigint,
  primary key (tenant_id, strategy_id)
);
create unique index strategy_named on strategy
  (tenant_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), name) where archived_ns is null;
create index strategy_owned on strategy (tenant_id, user_id, strategy_id);

-- facts are what the compiler said of the program when it was saved: inputs, events, cost, warnings.
create table strategy_version (
  tenant_id text not null,
  strategy_id uuid not null,
  version integer not null check (version > 0),
  source_hash text not null check (source_hash ~ '^[0-9a-f]{64}$'),
  source text not null,
  facts json not null,
  created_by text not null,
  created_ns bigint not null,
  primary key (tenant_id, strategy_id, version),
  foreign key (tenant_id, strategy_id) references strategy
);

do $$
declare name text;
begin
  foreach name in array array['strategy', 'strategy_version']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
    execute format('grant select, insert on %I to quantlab_app', name);
  end loop;
end $$;
grant update (name, latest_version, updated_ns, archived_ns) on strategy to quantlab_app;
