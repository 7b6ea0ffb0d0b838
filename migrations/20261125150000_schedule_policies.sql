-- Schedules with policies, ticks with causes, batches that end, backfills.
--
-- Nothing has been released before this migration: it may replace constraints and indexes of small tables in place.

alter table syncline.schedule
    add column run_at timestamptz,
    add column after_schedule_id uuid references syncline.schedule (id) on delete restrict,
    add column after_outcome text,
    add column page bigint,
    add column policy jsonb not null default '{}',
    add column retry jsonb not null default '{}',
    add column time_limit_seconds integer,
    add column due_at timestamptz,
    add column fired bigint not null default 0,
    add column failures_in_a_row integer not null default 0,
    add column paused_at timestamptz,
    add column paused_by text,
    add column pause_cause text,
    add column pause_note text,
    add column problem text,
    add column trigger_secret bytea,
    add column debounce_seconds integer not null default 0,
    add column trigger_at timestamptz,
    add column triggered_at timestamptz,
    drop constraint schedule_trigger_known,
    drop constraint schedule_trigger_whole,
    drop constraint schedule_kind_known,
    drop constraint schedule_disabled_has_no_next,
    add constraint schedule_trigger_known check (trigger in ('cron', 'interval', 'once', 'after', 'manual')),
    add constraint schedule_trigger_whole check (
        (trigger = 'cron') = (cron is not null)
        and (trigger = 'interval') = (every_seconds is not null)
        and (trigger = 'interval') = (anchor is not null)
        and (trigger = 'once') = (run_at is not null)
        and (trigger = 'after') = (after_schedule_id is not null)
        and (trigger = 'after') = (after_outcome is not null)),
    add constraint schedule_after_known check (after_outcome in ('succeeded', 'ended')),
    add constraint schedule_not_after_itself check (after_schedule_id <> id),
    add constraint schedule_kind_known check (kind in ('incremental', 'full', 'page')),
    add constraint schedule_page_whole check ((kind = 'page') = (page is not null) and page >= 0),
    add constraint schedule_policy_object check (jsonb_typeof(policy) = 'object'),
    add constraint schedule_retry_object check (jsonb_typeof(retry) = 'object'),
    add constraint schedule_time_limit_positive check (time_limit_seconds > 0),
    add constraint schedule_counts_not_negative check (fired >= 0 and failures_in_a_row >= 0),
    add constraint schedule_pause_whole check (
        (paused_at is null) = (paused_by is null) and (paused_at is null) = (pause_cause is null)
        and (paused_at is not null or pause_note is null)),
    add constraint schedule_pause_cause_known check (pause_cause in ('person', 'failures')),
    add constraint schedule_pause_note_short check (length(pause_note) <= 1000),
    add constraint schedule_debounce_range check (debounce_seconds between 0 and 86400);
update syncline.schedule set due_at = next_at;
alter table syncline.schedule
    add constraint schedule_next_only_while_active check (
        next_at is null or enabled and paused_at is null and problem is null),
    add constraint schedule_trigger_only_while_active check (
        trigger_at is null or enabled and paused_at is null),
    add constraint schedule_due_whole check ((due_at is null) = (next_at is null and trigger_at is null));
drop index syncline.schedule_due;
create index schedule_due on syncline.schedule (due_at) where due_at is not null;
create index schedule_after on syncline.schedule (after_schedule_id) where after_schedule_id is not null;
create unique index schedule_trigger_secret on syncline.schedule (trigger_secret) where trigger_secret is not null;
comment on column syncline.schedule.trigger is 'cron, interval, once, after (a batch of another schedule), or manual: only on request.';
comment on column syncline.schedule.run_at is 'The one moment, if the trigger is once.';
comment on column syncline.schedule.after_schedule_id is 'The schedule whose batches it follows, if the trigger is after.';
comment on column syncline.schedule.after_outcome is 'succeeded: it follows batches whose runs all succeeded; ended: it follows all.';
comment on column syncline.schedule.kind is 'incremental: from the stream''s state where it has one; full: from the start; page: one page.';
comment on column syncline.schedule.page is 'The page to read, if that is the kind.';
comment on column syncline.schedule.policy is
    'What differs from the defaults: {"catch_up", "overlap", "jitter_seconds", "spread_seconds", "start_at", "end_at", "max_runs", "pause_after_failures"}.';
comment on column syncline.schedule.retry is 'Overrides of the retry policy of its runs'' connections, in the same form.';
comment on column syncline.schedule.time_limit_seconds is 'Its runs end as failed so long after their first start; null: no limit but the longest age.';
comment on column syncline.schedule.next_at is 'Nominal instant of its next moment; null: never again, disabled, paused, or not driven by time.';
comment on column syncline.schedule.due_at is 'When a scheduler looks at it next: its next moment with jitter, or its inbound trigger, whichever is sooner.';
comment on column syncline.schedule.fired is 'How many ticks driven by time have fired.';
comment on column syncline.schedule.failures_in_a_row is 'Batches in a row that failed.';
comment on column syncline.schedule.paused_at is 'Since when it rests; null: it does not.';
comment on column syncline.schedule.paused_by is 'Who paused it: the name of a token or user, or the scheduler.';
comment on column syncline.schedule.pause_cause is 'person: somebody asked for it; failures: too many batches in a row failed.';
comment on column syncline.schedule.pause_note is 'Why, in words.';
comment on column syncline.schedule.problem is 'Why it is not scheduled although it should be, in words; null: nothing is wrong.';
comment on column syncline.schedule.trigger_secret is 'SHA-256 of the secret in its inbound trigger''s address; null: it has none.';
comment on column syncline.schedule.debounce_seconds is 'Calls of the inbound trigger within so many seconds of the first make one tick.';
comment on column syncline.schedule.trigger_at is 'When the inbound trigger that was called makes its tick; null: it was not called.';
comment on column syncline.schedule.triggered_at is 'When the inbound trigger was last called.';

alter table syncline.tick
    add column cause text not null default 'time',
    add constraint tick_cause_known check (cause in ('time', 'after', 'trigger'));
create index tick_decided on syncline.tick (decided_at);
comment on column syncline.tick.cause is 'time: the trigger named the moment; after: a batch that it follows ended; trigger: its inbound trigger was called.';

alter table syncline.batch
    alter column id set default syncline.new_run_id(),
    add column target text,
    add column connection_id uuid,
    add column business_id uuid,
    add column platform text,
    add column streams text[],
    add column kind text,
    add column rest jsonb,
    add column ended_at timestamptz,
    add column outcome text,
    add column succeeded integer not null default 0,
    add column partial integer not null default 0,
    add column failed integer not null default 0,
    add column cancelled integer not null default 0,
    add column records jsonb,
    drop constraint batch_origin_known,
    drop constraint batch_schedule_whole,
    add constraint batch_origin_known check (origin in ('schedule', 'manual', 'backfill')),
    add constraint batch_schedule_whole check (
        origin <> 'schedule' or schedule_id is not null and nominal_at is not null),
    add constraint batch_target_known check (target in ('connection', 'business', 'platform', 'everything', 'runs')),
    add constraint batch_outcome_known check (outcome in ('succeeded', 'partial', 'failed', 'cancelled')),
    add constraint batch_ended_whole check (
        (ended_at is null) = (outcome is null) and (ended_at is null) = (records is null)
        and (ended_at is null or rest is null));
update syncline.batch b set ended_at = b.created_at, outcome = 'cancelled', records = '{}', runs = 0
where not exists (select from syncline.run r where r.batch_id = b.id);
drop index syncline.batch_by_schedule;
create index batch_by_schedule on syncline.batch (schedule_id, id) where schedule_id is not null;
create index batch_open on syncline.batch (id) where ended_at is null;
create index batch_unfinished_fan_out on syncline.batch (id) where rest is not null and origin <> 'backfill';
comment on table syncline.batch is 'The runs of one tick, of one request or of one backfill.';
comment on column syncline.batch.id is 'Identity, a UUID version 7 of the database''s clock.';
comment on column syncline.batch.origin is 'schedule (a tick), manual (a request) or backfill.';
comment on column syncline.batch.schedule_id is 'The schedule whose tick made it, or that was triggered by hand. No foreign key: the batch outlives its schedule.';
comment on column syncline.batch.runs is 'How many runs have been enqueued.';
comment on column syncline.batch.target is 'What it was asked for: connection, business, platform, everything; runs: single runs that are repeated.';
comment on column syncline.batch.connection_id is 'The connection, if that was the target.';
comment on column syncline.batch.business_id is 'The business, if that was the target.';
comment on column syncline.batch.platform is 'The platform, if that was the target.';
comment on column syncline.batch.streams is 'Only these streams; null: those the connections have chosen.';
comment on column syncline.batch.kind is 'Kind of its runs.';
comment on column syncline.batch.rest is 'What is still to be enqueued, and how, or {} while its backfill goes on; null: all is enqueued.';
comment on column syncline.batch.ended_at is 'When all of its runs had ended.';
comment on column syncline.batch.outcome is 'succeeded: all runs did; failed: none did, not even in part; cancelled: none did, and one was cancelled; else partial.';
comment on column syncline.batch.succeeded is 'Runs that succeeded; counted when the batch ended.';
comment on column syncline.batch.partial is 'Runs that succeeded in part.';
comment on column syncline.batch.failed is 'Runs that failed.';
comment on column syncline.batch.cancelled is 'Runs that were cancelled.';
comment on column syncline.batch.records is 'Records of all runs by what became of them: {"read", "inserted", "updated", "unchanged", "deleted", "failed", "duplicates"}.';

alter table syncline.run
    add column time_limit_seconds integer,
    add column range_from timestamptz,
    add column range_to timestamptz,
    drop constraint run_origin_known,
    drop constraint run_kind_known,
    add constraint run_origin_known check (origin in ('schedule', 'manual', 'backfill')),
    add constraint run_kind_known check (kind in ('incremental', 'full', 'page', 'backfill')),
    add constraint run_range_whole check (
        (kind = 'backfill') = (range_from is not null) and (kind = 'backfill') = (range_to is not null)
        and (range_from is null or range_from < range_to)),
    add constraint run_time_limit_positive check (time_limit_seconds > 0);
create index run_of_batch on syncline.run (batch_id) where schedule_id is null;
create index run_time_limited on syncline.run (id) where time_limit_seconds is not null;
comment on column syncline.run.origin is 'schedule, manual or backfill.';
comment on column syncline.run.kind is
    'incremental; full; page: one page only; backfill: a data range. The last two neither read nor move stream state.';
comment on column syncline.run.time_limit_seconds is 'It ends as failed so long after its first start; null: no limit but the longest age.';
comment on column syncline.run.range_from is 'First instant of the data range, if that is the kind.';
comment on column syncline.run.range_to is 'First instant after the data range.';

alter table syncline.run_history
    add column range_from timestamptz,
    add column range_to timestamptz;
comment on column syncline.run_history.range_from is 'As in run.';
comment on column syncline.run_history.range_to is 'As in run.';

create table syncline.backfill (
    id uuid primary key default syncline.new_run_id(),
    connection_id uuid not null references syncline.connection (id) on delete cascade,
    batch_id uuid not null,
    streams text[] not null,
    range_from timestamptz not null,
    range_to timestamptz not null,
    step_seconds bigint not null,
    next_from timestamptz,
    priority smallint not null,
    note text,
    requested_by text not null,
    created_at timestamptz not null default syncline.now(),
    cancelled_at timestamptz,
    cancelled_by text,
    constraint backfill_range_whole check (range_from < range_to),
    constraint backfill_step_positive check (step_seconds > 0),
    constraint backfill_next_in_range check (next_from >= range_from and next_from < range_to),
    constraint backfill_priority_range check (priority between 0 and 100),
    constraint backfill_streams_not_empty check (cardinality(streams) > 0),
    constraint backfill_note_short check (length(note) <= 1000),
    constraint backfill_cancel_whole check (
        (cancelled_at is null) = (cancelled_by is null) and (cancelled_at is null or next_from is null))
);
create index backfill_open on syncline.backfill (id) where next_from is not null;
create index backfill_by_connection on syncline.backfill (connection_id, id);
comment on table syncline.backfill is
    'A data range to be read again in runs of a given width, one after the other. It never moves a stream''s state.';
comment on column syncline.backfill.id is 'Identity, a UUID version 7 of the database''s clock.';
comment on column syncline.backfill.connection_id is 'The connection.';
comment on column syncline.backfill.batch_id is 'The batch of its runs.';
comment on column syncline.backfill.streams is 'The streams, all of which have a cursor.';
comment on column syncline.backfill.range_from is 'First instant of the range, by the streams'' cursors.';
comment on column syncline.backfill.range_to is 'First instant after the range.';
comment on column syncline.backfill.step_seconds is 'Width of a run.';
comment on column syncline.backfill.next_from is 'Where the next run begins; null: all runs were made, or it was cancelled.';
comment on column syncline.backfill.priority is 'Priority of its runs; the smaller, the sooner.';
comment on column syncline.backfill.note is 'Why, in words.';
comment on column syncline.backfill.requested_by is 'Who asked for it.';
comment on column syncline.backfill.created_at is 'When it was asked for.';
comment on column syncline.backfill.cancelled_at is 'When it was cancelled.';
comment on column syncline.backfill.cancelled_by is 'By whom.';

-- A fan-out reads the connections of its target in the order of their keys, chunk by chunk.
drop index syncline.connection_by_business;
create index connection_by_business on syncline.connection (business_id, key);
drop index syncline.connection_by_platform;
create index connection_by_platform on syncline.connection (platform, key);
