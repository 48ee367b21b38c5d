-- Positions of hedging accounts: one a ticket instead of one a symbol. An account that nets has no
-- tickets ('' in the key), and a fill of it names none.

set local search_path = quantlab;

alter table position add column ticket text not null default '';
alter table position drop constraint position_pkey;
alter table position add primary key (tenant_id, account_id, symbol, ticket);
alter table fill add column ticket text;

-- As before, with the tickets of positions.
create or replace function claim_batch(_tenant text, _max_rows integer, _accounts uuid[] default null,
    out notes boolean, out accounts json, out commands json)
  language plpgsql volatile set search_path = quantlab, pg_temp
as $$
declare claimed uuid[];
begin
  perform set_config('app.tenant', _tenant, true);
  if _accounts is null then
    select array_agg(locked.account_id) into claimed from (
      select a.account_id from account a
      where a.tenant_id = _tenant and a.account_id = any (array(
        select i.account_id from inbox i
        where i.tenant_id = _tenant and i.state = 0 and i.account_id is not null
        order by i.inbox_id limit _max_rows))
      order by a.account_id for update skip locked) locked;
    notes := exists (select from inbox i where i.tenant_id = _tenant and i.state = 0 and i.account_id is null);
  else
    select array_agg(locked.account_id) into claimed from (
      select a.account_id from account a
      where a.tenant_id = _tenant and a.account_id = any (array(
        select i.account_id from inbox i
        where i.tenant_id = _tenant and i.state = 0 and i.account_id = any (_accounts)
        order by i.inbox_id limit _max_rows))
      order by a.account_id for update) locked;
    notes := false;
  end if;
  if claimed is null then
    return;
  end if;
  select json_agg(json_build_array(account_id, status, status_reason, currency, currency_digits,
      account_type, config_version, initial_balance_minor, balance_minor, carry_micro, high_water_minor,
      event_seq, day_date, day_started_ns, day_next_reset_ns, day_start_balance_minor,
      day_start_equity_minor, day_realised_minor, day_traded, raised,
      (select json_agg(json_build_array(d.date, d.realised_minor, d.traded, d.equity_gain_minor) order by d.date)
        from account_day d where d.tenant_id = _tenant and d.account_id = a.account_id),
      (select json_agg(json_build_array(p.symbol, p.size_steps, p.cost, p.stop_loss_ticks,
          p.take_profit_ticks, p.opened_at_ns, p.opened_seq, nullif(p.ticket, '')))
        from position p where p.tenant_id = _tenant and p.account_id = a.account_id),
      (select json_agg(json_build_array(w.order_id, w.signal_id, w.client_id, w.source_kind, w.symbol,
          w.side, w.order_type, w.size_steps, w.filled_steps, w.stop_loss_ticks, w.take_profit_ticks,
          w.status, w.reason, w.event_seq, w.created_ns, w.terms) order by w.created_ns, w.order_id)
        from working_order w where w.tenant_id = _tenant and w.account_id = a.account_id),
      tally))
    into accounts from account a where a.tenant_id = _tenant and a.account_id = any (claimed);
  select json_agg(json_build_array(pending.inbox_id, pending.signal_id, pending.account_id,
      pending.source_kind, pending.source_id, pending.command, pending.payload, pending.received_ns)
      order by pending.inbox_id)
    into commands from (
      select i.* from inbox i
      where i.tenant_id = _tenant and i.state = 0 and i.account_id = any (claimed)
      order by i.inbox_id limit _max_rows) pending;
end $$;
