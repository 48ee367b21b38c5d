-- Market data: the tick log, one-minute bars and the register of sealed tick segments. Global data,
-- the same for every tenant, so no tenant_id. Times are nanoseconds since 1970 UTC on the feed's
-- clock. Ticks and segments are append-only for the application role; a closed bar may be rewritten
-- when it is rebuilt from its ticks.

set local search_path = quantlab;

do $$
declare parted text;
begin
  -- TimescaleDB cuts its own chunks; without it the tables are partitioned by range, below.
  parted := case when exists (select from pg_extension where extname = 'timescaledb')
    then '' else 'partition by range (%s)' end;
  execute 'create table tick (
    symbol text not null,
    ts_ns bigint not null,
    seq bigint not null check (seq > 0),
    bid_ticks bigint not null check (bid_ticks > 0),
    ask_ticks bigint not null,
    check (ask_ticks >= bid_ticks),
    primary key (symbol, ts_ns, seq)
  ) ' || replace(parted, '%s', 'ts_ns');
  execute 'create table bar_1m (
    symbol text not null,
    start_ns bigint not null check (start_ns % 60000000000 = 0),
    open_ticks bigint not null,
    high_ticks bigint not null,
    low_ticks bigint not null,
    close_ticks bigint not null,
    close_ask_ticks bigint not null,
    tick_count bigint not null check (tick_count > 0),
    last_ts_ns bigint not null,
    last_seq bigint not null,
    check (low_ticks <= least(open_ticks, close_ticks) and high_ticks >= greatest(open_ticks, close_ticks)),
    primary key (symbol, start_ns)
  ) ' || replace(parted, '%s', 'start_ns');
  if parted = '' then
    -- Chunks of a day and of thirty days.
    execute 'select create_hypertable(''quantlab.tick'', ''ts_ns'', chunk_time_interval => 86400000000000)';
    execute 'select create_hypertable(''quantlab.bar_1m'', ''start_ns'', chunk_time_interval => 2592000000000000)';
  end if;
end $$;

create table tick_segment (
  symbol text not null,
  from_seq bigint not null,
  to_seq bigint not null,
  from_ts_ns bigint not null,
  to_ts_ns bigint not null,
  rows bigint not null check (rows > 0),
  digest bytea not null check (octet_length(digest) = 32),
  object_key text not null unique,
  sealed_at timestamptz not null default now(),
  check (from_seq <= to_seq and from_ts_ns <= to_ts_ns),
  primary key (symbol, from_seq)
);
create index tick_segment_end on tick_segment (symbol, to_seq);

grant select, insert on tick, tick_segment to quantlab_app;
grant select, insert, update on bar_1m to quantlab_app;

create function is_hypertable(_table text) returns boolean
  language plpgsql stable set search_path = quantlab, pg_temp
as $$
declare answer boolean := false;
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    execute 'select exists (select from timescaledb_information.hypertables
      where hypertable_schema = ''quantlab'' and hypertable_name = $1)' into answer using _table;
  end if;
  return answer;
end $$;

-- Makes the partitions that hold [_from_ns, _to_ns]: days of tick, months of bar_1m. At most a year
-- at once. Attaching locks the parent only against other changes of shape, not against the writer.
create function ensure_market_partitions(_from_ns bigint, _to_ns bigint) returns integer
  language plpgsql security definer set search_path = quantlab, pg_temp
as $$
declare
  made integer := 0;
  part record;
begin
  if _to_ns < _from_ns or _to_ns - _from_ns > 366 * 86400000000000 then
    raise exception 'expected at most a year of partitions, was % to %', _from_ns, _to_ns
      using errcode = 'invalid_parameter_value';
  end if;
  for part in
    select 'tick' as parent, 'tick_' || to_char(moment, 'YYYYMMDD') as name,
        moment as opens, moment + interval '1 day' as closes
      from generate_series(
        date_trunc('day', to_timestamp(_from_ns / 1000000000) at time zone 'UTC'),
        to_timestamp(_to_ns / 1000000000) at time zone 'UTC', interval '1 day') moment
    union all
    select 'bar_1m', 'bar_1m_' || to_char(moment, 'YYYYMM'), moment, moment + interval '1 month'
      from generate_series(
        date_trunc('month', to_timestamp(_from_ns / 1000000000) at time zone 'UTC'),
        to_timestamp(_to_ns / 1000000000) at time zone 'UTC', interval '1 month') moment
  loop
    continue when to_regclass(format('quantlab.%I', part.name)) is not null
      or is_hypertable(part.parent);
    perform pg_advisory_xact_lock(hashtext('quantlab.partitions'));
    continue when to_regclass(format('quantlab.%I', part.name)) is not null;
    execute format('create table %I (like %I including defaults including constraints)', part.name, part.parent);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)',
      part.parent, part.name,
      extract(epoch from part.opens at time zone 'UTC')::bigint * 1000000000,
      extract(epoch from part.closes at time zone 'UTC')::bigint * 1000000000);
    made := made + 1;
  end loop;
  return made;
end $$;

-- Drops the days of ticks that end at or before _ts_ns, but never one with a tick that is not in
-- a sealed segment yet. Returns the number of days dropped.
create function drop_ticks_before(_ts_ns bigint) returns integer
  language plpgsql security definer set search_path = quantlab, pg_temp
as $$
declare
  dropped integer := 0;
  part record;
  unsealed boolean;
  closes_ns bigint;
begin
  if is_hypertable('tick') then
    select coalesce(min(t.ts_ns), _ts_ns) into closes_ns from tick t
      where t.ts_ns < _ts_ns and t.seq > coalesce((select max(s.to_seq) from tick_segment s where s.symbol = t.symbol), 0);
    execute 'select count(*) from drop_chunks(''quantlab.tick'', older_than => $1)' into dropped using least(_ts_ns, closes_ns);
    return dropped;
  end if;
  for part in
    select c.oid, c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'quantlab.tick'::regclass order by c.relname
  loop
    closes_ns := extract(epoch from (part.day + 1)::timestamp at time zone 'UTC')::bigint * 1000000000;
    exit when closes_ns > _ts_ns;
    execute format('select exists (select from (select symbol, max(seq) as seq from %I group by symbol) t
      where t.seq > coalesce((select max(s.to_seq) from tick_segment s where s.symbol = t.symbol), 0))', part.relname)
      into unsealed;
    continue when unsealed;
    execute format('drop table %I', part.relname);
    dropped := dropped + 1;
  end loop;
  return dropped;
end $$;

revoke execute on function is_hypertable(text), ensure_market_partitions(bigint, bigint), drop_ticks_before(bigint) from public;
grant execute on function ensure_market_partitions(bigint, bigint), drop_ticks_before(bigint) to quantlab_app;
