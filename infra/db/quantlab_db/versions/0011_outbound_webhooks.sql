-- Webhooks to tenants' systems: endpoints, what each is to get, and every attempt to give it.
-- What is to be fanned out comes as outbox rows of topic 3. The audit appender writes them as it
-- takes those of topic 1, and only where a tenant has an active endpoint: the order path has no part.

set local search_path = quantlab;

create table webhook_endpoint (
  tenant_id text not null references tenant,
  endpoint_id uuid not null,
  url text not null check (octet_length(url) <= 2048),
  description text not null check (octet_length(description) <= 400),
  event_types text[] not null,
  status text not null check (status in ('active', 'disabled')),
  disabled_reason text check (disabled_reason in ('by_request', 'gone', 'failing')),
  secret_cipher bytea not null,
  previous_secret_cipher bytea,
  previous_until_ns bigint not null default 0,
  failing_since_ns bigint,
  slow_answers integer not null default 0,
  paused_until_ns bigint not null default 0,
  lease_id uuid,
  leased_until_ns bigint not null default 0,
  created_ns bigint not null,
  primary key (tenant_id, endpoint_id),
  check ((status = 'disabled') = (disabled_reason is not null))
);

-- One event for one endpoint. payload is null where the event table has it.
create table webhook_delivery (
  tenant_id text not null,
  delivery_id uuid not null,
  endpoint_id uuid not null,
  message_id text not null,
  stream_id uuid not null,
  seq bigint not null,
  event_type text not null,
  occurred_ns bigint not null,
  payload json,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_ns bigint not null,
  created_ns bigint not null,
  primary key (tenant_id, delivery_id)
) with (fillfactor = 80);
create index webhook_delivery_due on webhook_delivery (tenant_id, endpoint_id, next_attempt_ns, stream_id, seq)
  where status = 'pending';
create index webhook_delivery_listed on webhook_delivery (tenant_id, endpoint_id, created_ns, delivery_id);
create index webhook_delivery_old on webhook_delivery (tenant_id, created_ns);

-- status is that of the answer; null where none came, and then error says why.
create table webhook_attempt (
  tenant_id text not null,
  delivery_id uuid not null,
  attempt_id bigint generated always as identity,
  started_ns bigint not null,
  duration_ms integer not null,
  status smallint,
  error text,
  answer text not null,
  primary key (tenant_id, delivery_id, attempt_id)
);
create index webhook_attempt_old on webhook_attempt (tenant_id, started_ns);

do $$
declare name text;
begin
  foreach name in array array['webhook_endpoint', 'webhook_delivery', 'webhook_attempt']
  loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant_rows on %I to quantlab_app using (tenant_id = current_tenant()) with check (tenant_id = current_tenant())', name);
    execute format('grant select, insert on %I to quantlab_app', name);
  end loop;
end $$;
grant update, delete on webhook_endpoint to quantlab_app;
grant update (status, attempts, next_attempt_ns), delete on webhook_delivery to quantlab_app;

-- Who has something to fan out, or something due at an endpoint that nobody holds and that is not paused.
create policy lookup_rows on webhook_endpoint for select to quantlab_lookup using (true);
create policy lookup_rows on webhook_delivery for select to quantlab_lookup using (status = 'pending');
grant select (tenant_id, endpoint_id, status, paused_until_ns, leased_until_ns) on webhook_endpoint to quantlab_lookup;
grant select (tenant_id, endpoint_id, status, next_attempt_ns) on webhook_delivery to quantlab_lookup;

create function webhook_tenants(_now_ns bigint) returns setof text
  language sql stable security definer set search_path = quantlab, pg_temp
as $$
  select e.tenant_id from webhook_endpoint e
  where exists (select from outbox o where o.tenant_id = e.tenant_id and o.topic = 3)
    or (e.status = 'active' and e.paused_until_ns <= _now_ns and e.leased_until_ns <= _now_ns
      and exists (select from webhook_delivery d where d.tenant_id = e.tenant_id
        and d.endpoint_id = e.endpoint_id and d.status = 'pending' and d.next_attempt_ns <= _now_ns))
  group by e.tenant_id order by e.tenant_id
$$;

-- Attempts only grow for the application; they go when their time is over.
create policy retention_rows on webhook_attempt to quantlab_lookup using (tenant_id = current_tenant());
grant select (tenant_id, started_ns), delete on webhook_attempt to quantlab_lookup;
create function forget_webhook_attempts(_before_ns bigint) returns bigint
  language sql security definer set search_path = quantlab, pg_temp
as $$
  with gone as (delete from webhook_attempt
    where tenant_id = current_tenant() and started_ns < _before_ns returning 1)
  select count(*) from gone
$$;

revoke execute on function webhook_tenants(bigint), forget_webhook_attempts(bigint) from public;
grant execute on function webhook_tenants(bigint), forget_webhook_attempts(bigint) to quantlab_app;
grant create on schema quantlab to quantlab_lookup;
alter function webhook_tenants(bigint) owner to quantlab_lookup;
alter function forget_webhook_attempts(bigint) owner to quantlab_lookup;
revoke create on schema quantlab from quantlab_lookup;
