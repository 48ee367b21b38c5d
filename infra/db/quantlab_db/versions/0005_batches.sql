-- The order path in fewer statements: each has a price of its own in driver, protocol and server.

-- Queues commands and wakes the executor; returns those that were not there before. One statement,
-- one commit, for every tenant that has some: each tenant's rows are inserted under that tenant.
create function accept_commands(_tenants text[], _accounts uuid[], _source_kinds text[], _source_ids text[],
    _keys bytea[], _digests bytea[], _signals uuid[], _commands text[], _payloads json[],
    _received_ns bigint[], _outcomes text[], _reasons text[])
  returns setof uuid language plpgsql set search_path = quantlab, pg_temp
as $$
declare current text;
begin
  for current in select distinct t from unnest(_tenants) t loop
    perform set_config('app.tenant', current, true), pg_notify('orders', current);
    return query insert into inbox (tenant_id, account_id, source_kind, source_id, idempotency_key, body_digest,
        signal_id, command, payload, received_ns, outcome, reason)
      select x.* from unnest(_tenants, _accounts, _source_kinds, _source_ids, _keys, _digests, _signals,
        _commands, _payloads, _received_ns, _outcomes, _reasons)
        x(tenant, account, source_kind, source, key, digest, signal, command, payload, received_ns, outcome, reason)
      where x.tenant = current
      on conflict (tenant_id, source_kind, source_id, idempotency_key) do nothing
      returning inbox.signal_id;
  end loop;
end $$;

-- Locks the accounts of one tenant that have pending commands and nobody holds, then reads them and
-- their commands, oldest first. The function is volatile: each of its statements sees what was
-- committed before it, so what is read is newer than the lock (a single statement would read the
-- snapshot from before it and execute twice). Without accounts both are null.
create function claim_batch(_tenant text, _max_rows integer,
    out notes boolean, out accounts json, out commands json)
  language plpgsql volatile set search_path = quantlab, pg_temp
as $$
declare claimed uuid[];
begin
  perform set_config('app.tenant', _tenant, true);
  select array_agg(locked.account_id) into claimed from (
    select a.account_id from account a
    where a.tenant_id = _tenant and a.account_id = any (array(
      select i.account_id from inbox i
      where i.tenant_id = _tenant and i.state = 0 and i.account_id is not null
      order by i.inbox_id limit _max_rows))
    order by a.account_id for update skip locked) locked;
  notes := exists (select from inbox i where i.tenant_id = _tenant and i.state = 0 and i.account_id is null);
  if claimed is null then
    return;
  end if;
  select json_agg(json_build_array(account_id, status, status_reason, currency, currency_digits,
      account_type, config_version, initial_balance_minor, balance_minor, carry_micro, high_water_minor,
      event_seq, day_date, day_started_ns, day_next_reset_ns, day_start_balance_minor,
      day_start_equity_minor, day_realised_minor, day_traded, raised,
      (select json_agg(json_build_array(d.date, d.realised_minor, d.traded) order by d.date)
        from account_day d where d.tenant_id = _tenant and d.account_id = a.account_id),
      (select json_agg(json_build_array(p.symbol, p.size_steps, p.cost, p.stop_loss_ticks,
          p.take_profit_ticks, p.opened_at_ns, p.opened_seq))
        from position p where p.tenant_id = _tenant and p.account_id = a.account_id)))
    into accounts from account a where a.tenant_id = _tenant and a.account_id = any (claimed);
  select json_agg(json_build_array(pending.inbox_id, pending.signal_id, pending.account_id,
      pending.source_kind, pending.source_id, pending.command, pending.payload, pending.received_ns)
      order by pending.inbox_id)
    into commands from (
      select i.* from inbox i
      where i.tenant_id = _tenant and i.state = 0 and i.account_id = any (claimed)
      order by i.inbox_id limit _max_rows) pending;
end $$;

grant execute on function claim_batch(text, integer), accept_commands(text[], uuid[], text[], text[], bytea[],
  bytea[], uuid[], text[], json[], bigint[], text[], text[]) to quantlab_app;
drop function claim_accounts(integer);
