-- A statement that must touch so many rows fails where it touches others.
create function expect_rows(_found bigint, _expected bigint) returns boolean
  language plpgsql volatile set search_path = quantlab, pg_temp
as $$
begin
  if _found <> _expected then
    raise exception 'expected % rows, found %', _expected, _found using errcode = 'check_violation';
  end if;
  return true;
end $$;
grant execute on function expect_rows(bigint, bigint) to quantlab_app;
