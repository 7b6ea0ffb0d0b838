-- A full run may remove the connection's rows first.

alter table syncline.run
    drop constraint run_kind_known,
    add constraint run_kind_known check (kind in ('incremental', 'full', 'rebuild', 'page', 'backfill')) not valid;
alter table syncline.run validate constraint run_kind_known;
comment on column syncline.run.kind is
    'incremental; full; rebuild: full, after the connection''s rows were removed; page: one page only; backfill: a data range. The last two neither read nor move stream state.';
comment on column syncline.runs.kind is 'incremental, full, rebuild, page or backfill.';
