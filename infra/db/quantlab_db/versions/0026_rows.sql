-- What a statement of the order path is given: rows, one array of them for a table. An array for each
-- column, as before, cost the scan of a function for each column, with the first row already.

set local search_path = quantlab;

create type account_row as (account_id uuid, status text, status_reason text, config_version text,
  balance_minor bigint, carry_micro bigint, high_water_minor bigint, event_seq bigint, day_date text,
  day_started_ns bigint, day_next_reset_ns bigint, day_start_balance_minor bigint,
  day_start_equity_minor bigint, day_realised_minor bigint, day_traded boolean, raised text, tally json,
  held bytea);
create type position_row as (account_id uuid, symbol text, size_steps bigint, cost bigint,
  stop_loss_ticks bigint, take_profit_ticks bigint, opened_at_ns bigint, opened_seq bigint, ticket text);
create type closed_position_row as (account_id uuid, symbol text, ticket text);
create type order_row as (account_id uuid, order_id uuid, signal_id uuid, client_id text, source_kind text,
  symbol text, side smallint, order_type text, size_steps bigint, filled_steps bigint,
  stop_loss_ticks bigint, take_profit_ticks bigint, status text, reason text, event_seq bigint,
  created_ns bigint, terms json, ended_ns bigint);
create type fill_row as (account_id uuid, event_seq bigint, fill_id uuid, order_id uuid, symbol text,
  side smallint, size_steps bigint, price_ticks bigint, slippage_ticks bigint, bid_ticks bigint,
  ask_ticks bigint, quote_ts_ns bigint, quote_seq bigint, rate_num bigint, rate_den bigint,
  realised_minor bigint, commission_minor bigint, config_version text, engine_version text,
  filled_ns bigint, bid_size_steps bigint, ask_size_steps bigint, fill_model text, fill_seed bigint,
  ticket text);
create type ledger_row as (account_id uuid, event_seq bigint, kind text, amount_minor bigint,
  carry_micro bigint, balance_minor bigint, at_ns bigint);
create type done_row as (inbox_id bigint, outcome text, reason text, result json, done_ns bigint,
  from_seq bigint, to_seq bigint, inputs json);
create type span_row as (stream_id uuid, from_seq bigint, to_seq bigint);
create type command_row as (tenant_id text, account_id uuid, source_kind text, source_id text,
  idempotency_key bytea, body_digest bytea, signal_id uuid, command text, payload json, received_ns bigint,
  outcome text, reason text);
create type head_row as (stream_id uuid, seq bigint, hash bytea);
create type entry_row as (stream_id uuid, seq bigint, event_type text, occurred_ns bigint, salt bytea,
  payload json, payload_digest bytea, prev_hash bytea, hash bytea);
create type event_row as (stream_id uuid, seq bigint, event_type text, occurred_ns bigint, payload json);

-- The batches of several tenants, each under its own, in one statement; with each the halts that hold.
create function claim_batches(_tenants text[], _max_rows integer, _accounts uuid[] default null)
  returns table (tenant text, notes boolean, accounts json, commands json, halts json)
  language plpgsql volatile set search_path = quantlab, pg_temp
as $$
begin
  foreach tenant in array _tenants loop
    select b.notes, b.accounts, b.commands into notes, accounts, commands
      from claim_batch(tenant, _max_rows, _accounts) b;
    select json_agg(json_build_array(h.symbol, h.reason)) into halts
      from instrument_halt h where h.tenant_id = tenant and h.resumed_ns is null;
    return next;
  end loop;
end $$;
grant execute on function claim_batches(text[], integer, uuid[]) to quantlab_app;

-- accept_commands, given rows. Returns the signals whose keys were free.
create function accept_commands(_commands command_row[]) returns setof uuid
  language plpgsql set search_path = quantlab, pg_temp
as $$
declare current text;
begin
  for current in select distinct c.tenant_id from unnest(_commands) c loop
    perform set_config('app.tenant', current, true), pg_notify('orders', current);
    return query insert into inbox (tenant_id, account_id, source_kind, source_id, idempotency_key, body_digest,
        signal_id, command, payload, received_ns, outcome, reason)
      select c.* from unnest(_commands) c where c.tenant_id = current
      on conflict (tenant_id, source_kind, source_id, idempotency_key) do nothing
      returning inbox.signal_id;
  end loop;
end $$;
grant execute on function accept_commands(command_row[]) to quantlab_app;
