-- A position held over a day roll is charged, or earns, its swap: a booking that no fill made. The
-- kinds of other bookings stand here as well, since a constraint names all of them.
alter table ledger_entry drop constraint ledger_entry_kind_check,
  add constraint ledger_entry_kind_check
    check (kind in ('deposit', 'realised', 'commission', 'payout', 'adjustment', 'swap'));
