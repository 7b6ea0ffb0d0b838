-- What the API asks: ticks by outcome and by the instant they cover, syncs counted by day, who wrote a stream's state.
--
-- Nothing has been released before this migration: it may replace constraints and indexes of small tables in place.

create index tick_not_fired on syncline.tick (schedule_id, outcome, nominal_at) where outcome <> 'fired';
create index tick_gap on syncline.tick (schedule_id, nominal_at) where moments > 1;

create table syncline.batch_count (
    day date primary key,
    succeeded bigint not null default 0,
    partial bigint not null default 0,
    failed bigint not null default 0,
    cancelled bigint not null default 0,
    records bigint not null default 0,
    duration_ms bigint not null default 0,
    last_ended_at timestamptz not null,
    last_outcome text not null,
    constraint batch_count_not_negative check (
        succeeded >= 0 and partial >= 0 and failed >= 0 and cancelled >= 0 and records >= 0 and duration_ms >= 0),
    constraint batch_count_outcome_known check (last_outcome in ('succeeded', 'partial', 'failed', 'cancelled'))
);
comment on table syncline.batch_count is
    'Batches that ended, by day, so that totals and rates are asked of a few rows. Written where batches are closed, by one process at a time.';
comment on column syncline.batch_count.day is 'The day on which they ended, in UTC.';
comment on column syncline.batch_count.succeeded is 'Batches that succeeded.';
comment on column syncline.batch_count.partial is 'Batches that succeeded in part.';
comment on column syncline.batch_count.failed is 'Batches that failed.';
comment on column syncline.batch_count.cancelled is 'Batches that were cancelled.';
comment on column syncline.batch_count.records is 'Records that were read, all batches together.';
comment on column syncline.batch_count.duration_ms is 'From enqueue to end in milliseconds, all batches but the cancelled ones together.';
comment on column syncline.batch_count.last_ended_at is 'When the last of them ended.';
comment on column syncline.batch_count.last_outcome is 'How the last of them ended.';

alter table syncline.stream_state
    alter column run_id drop not null,
    add column set_by text,
    add constraint stream_state_written_by_one check ((run_id is null) = (set_by is not null));
comment on column syncline.stream_state.run_id is 'The run that wrote it; null: a person did.';
comment on column syncline.stream_state.set_by is 'Who set it by hand; null: a run wrote it.';
