-- What the API asks: ticks by outcome and by the instant they cover, syncs counted by day, who wrote a stream's state, data ranges of runs.
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

create or replace view syncline.runs as
    select
        r.id,
        case
            when r.state = 'running' then 'running'
            when r.state = 'queued' then 'queued'
            when r.wait_reason = 'backoff' then 'retrying'
            else 'waiting'
        end as status,
        r.batch_id, r.schedule_id, r.connection_id, r.business_id, r.platform, r.origin, r.requested_by,
        r.kind, r.streams, r.page, r.priority, r.attempt, r.failures,
        case when r.state = 'blocked' then 'overlap' else r.wait_reason end as waiting_for,
        case when r.wait_reason = 'pause'
             then coalesce(syncline.pause_note(r.platform, r.business_id, r.connection_id), r.wait_detail)
             else r.wait_detail
        end as wait_detail,
        case when r.state = 'waiting' and r.wait_reason not in ('pause', 'dependency') then r.due_at end as waiting_until,
        r.created_at, r.started_at, null::timestamptz as finished_at,
        r.checkpoint_sequence, r.checkpoint, r.progress, r.last_error,
        r.retry_of, null::uuid as retried_by, r.cancel_requested_at, r.cancel_requested_by as cancelled_by, r.cancel_note,
        r.range_from, r.range_to
    from syncline.run r
    union all
    select
        h.id, h.outcome,
        h.batch_id, h.schedule_id, h.connection_id, h.business_id, h.platform, h.origin, h.requested_by,
        h.kind, h.streams, h.page, h.priority, h.attempt, h.failures,
        null, null, null,
        h.created_at, h.started_at, h.finished_at,
        h.checkpoint_sequence, h.checkpoint, h.progress, h.last_error,
        h.retry_of, h.retried_by, null, h.cancelled_by, h.cancel_note,
        h.range_from, h.range_to
    from syncline.run_history h;
comment on column syncline.runs.origin is 'schedule, manual or backfill.';
comment on column syncline.runs.kind is 'incremental, full, page or backfill.';
comment on column syncline.runs.range_from is 'First instant of the data range, if the kind is backfill.';
comment on column syncline.runs.range_to is 'First instant after the data range.';
