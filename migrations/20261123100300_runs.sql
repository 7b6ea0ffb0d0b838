-- The queue: unfinished runs in one small hot table, finished ones in a history partitioned by month.
--
-- A state is always one of four: queued (can be claimed now), running (leased), waiting (has a due time), blocked (stands
-- behind another run of its connection). Only queued rows are in the claim index, so that whatever waits costs a claim
-- nothing.

create table syncline.run (
    id uuid primary key default syncline.new_run_id(),
    queue text not null,
    state text not null,
    batch_id uuid not null,
    schedule_id uuid,
    connection_id uuid not null,
    business_id uuid not null,
    platform text not null,
    origin text not null,
    requested_by text,
    kind text not null,
    streams text[],
    page bigint,
    priority smallint not null,
    fair_turn bigint not null,
    due_at timestamptz not null,
    wait_reason text,
    wait_detail text,
    attempt integer not null default 0,
    failures integer not null default 0,
    max_failures integer not null default 8,
    lease_token bigint not null default 0,
    lease_process uuid,
    started_at timestamptz,
    attempt_started_at timestamptz,
    checkpoint_sequence bigint not null default 0,
    checkpoint jsonb not null default '{}',
    progress jsonb not null default '{}',
    last_error jsonb,
    created_at timestamptz not null default syncline.now(),
    constraint run_state_known check (state in ('queued', 'running', 'waiting', 'blocked')),
    constraint run_origin_known check (origin in ('schedule', 'manual')),
    constraint run_kind_known check (kind in ('incremental', 'full', 'page')),
    constraint run_page_when_kind_page check ((kind = 'page') = (page is not null)),
    constraint run_page_positive check (page >= 0),
    constraint run_wait_has_reason check ((state = 'waiting') = (wait_reason is not null)),
    constraint run_wait_reason_known check (wait_reason in ('delay', 'limit', 'backoff')),
    constraint run_lease_while_running check (
        (state = 'running') = (lease_process is not null)
        and (state = 'running') = (attempt_started_at is not null)),
    constraint run_priority_range check (priority between 0 and 100),
    constraint run_counts_positive check (attempt >= 0 and failures >= 0 and max_failures >= 1)
) with (
    -- Rows live for seconds and are updated twice: vacuum by count, not by a share of the table, and without pauses.
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 20000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
-- The claim reads the head of this index and nothing else.
create index run_claim on syncline.run (queue, priority, fair_turn, due_at) where state = 'queued';
-- The due-mover's question.
create index run_due on syncline.run (due_at) where state = 'waiting';
-- The net under promise 4: one run a connection is ready or running; the claim never meets a second one.
create unique index run_gate on syncline.run (connection_id) where state in ('queued', 'running');
-- Finishing a run asks for the next one of its connection.
create index run_next_of_connection on syncline.run (connection_id, priority, fair_turn) where state = 'blocked';
-- The overlap rule's question: does this schedule still have an unfinished run on this connection?
create index run_of_schedule on syncline.run (schedule_id, connection_id) where schedule_id is not null;
comment on table syncline.run is 'Unfinished runs only. Finishing moves a run to run_history in one statement.';
comment on column syncline.run.id is 'Identity, a UUID version 7 of the database''s clock.';
comment on column syncline.run.queue is 'The queue it is claimed from, a literal such as sync.';
comment on column syncline.run.state is 'queued, running, waiting or blocked.';
comment on column syncline.run.batch_id is 'The batch it belongs to.';
comment on column syncline.run.schedule_id is 'The schedule that made it; null: a person did.';
comment on column syncline.run.connection_id is 'The connection it syncs. No foreign key: a deleted connection''s runs end as failed.';
comment on column syncline.run.business_id is 'The connection''s business, kept here for the claim and the filters.';
comment on column syncline.run.platform is 'The connection''s platform, likewise.';
comment on column syncline.run.origin is 'schedule or manual.';
comment on column syncline.run.requested_by is 'Who asked for it, if a person did.';
comment on column syncline.run.kind is 'incremental, full, or page: one page only, which neither reads nor moves stream state.';
comment on column syncline.run.streams is 'Only these streams; null: those the connection has chosen.';
comment on column syncline.run.page is 'The page to read, if that is the kind.';
comment on column syncline.run.priority is 'The smaller, the sooner.';
comment on column syncline.run.fair_turn is 'Its business'' turn: start-time fair queueing, given at enqueue.';
comment on column syncline.run.due_at is 'Not before; while waiting, when the wait ends.';
comment on column syncline.run.wait_reason is 'delay (due later), limit (a platform''s budget) or backoff (before a retry).';
comment on column syncline.run.wait_detail is 'What it waits for, in words for people.';
comment on column syncline.run.attempt is 'How many attempts have begun.';
comment on column syncline.run.failures is 'Errors and crashes since a checkpoint last advanced; waits, yields and drains do not count.';
comment on column syncline.run.max_failures is 'The run ends as failed when failures reaches this.';
comment on column syncline.run.lease_token is 'Fence: raised by every claim, hand-back and rescue. A write must name the current one.';
comment on column syncline.run.lease_process is 'The process that holds the lease; null unless running.';
comment on column syncline.run.started_at is 'When its first attempt began.';
comment on column syncline.run.attempt_started_at is 'When the attempt under way began; null unless running.';
comment on column syncline.run.checkpoint_sequence is 'Counts checkpoints; read back when the answer to a COMMIT is lost.';
comment on column syncline.run.checkpoint is 'Per stream: done, or the position from which the next attempt goes on.';
comment on column syncline.run.progress is 'Per stream: pages, read, inserted, updated, unchanged, deleted, failed. Exact as of the checkpoint.';
comment on column syncline.run.last_error is 'The error of the latest attempt that had one.';
comment on column syncline.run.created_at is 'When it was enqueued.';

create table syncline.run_history (
    id uuid not null,
    outcome text not null,
    batch_id uuid not null,
    schedule_id uuid,
    connection_id uuid not null,
    business_id uuid not null,
    platform text not null,
    origin text not null,
    requested_by text,
    kind text not null,
    streams text[],
    page bigint,
    priority smallint not null,
    attempt integer not null,
    failures integer not null,
    lease_token bigint not null,
    started_at timestamptz,
    finished_at timestamptz not null,
    checkpoint_sequence bigint not null,
    checkpoint jsonb not null,
    progress jsonb not null,
    last_error jsonb,
    created_at timestamptz not null,
    primary key (id),
    constraint run_history_outcome_known check (outcome in ('succeeded', 'partial', 'failed', 'cancelled'))
) partition by range (id);
-- Pages of the history go newest first, which is descending by id.
create index run_history_by_connection on syncline.run_history (connection_id, id);
create index run_history_by_schedule on syncline.run_history (schedule_id, id) where schedule_id is not null;
create index run_history_by_business on syncline.run_history (business_id, id);
create index run_history_by_platform on syncline.run_history (platform, id);
create index run_history_unsuccessful on syncline.run_history (outcome, id) where outcome <> 'succeeded';
comment on table syncline.run_history is 'Finished runs, partitioned by id, which is by month of creation.';
comment on column syncline.run_history.id is 'The run''s id.';
comment on column syncline.run_history.outcome is
    'succeeded; partial (some records or streams failed); failed; cancelled.';
comment on column syncline.run_history.batch_id is 'As in run.';
comment on column syncline.run_history.schedule_id is 'As in run.';
comment on column syncline.run_history.connection_id is 'As in run.';
comment on column syncline.run_history.business_id is 'As in run.';
comment on column syncline.run_history.platform is 'As in run.';
comment on column syncline.run_history.origin is 'As in run.';
comment on column syncline.run_history.requested_by is 'As in run.';
comment on column syncline.run_history.kind is 'As in run.';
comment on column syncline.run_history.streams is 'As in run.';
comment on column syncline.run_history.page is 'As in run.';
comment on column syncline.run_history.priority is 'As in run.';
comment on column syncline.run_history.attempt is 'How many attempts it took.';
comment on column syncline.run_history.failures is 'As in run, at the end.';
comment on column syncline.run_history.lease_token is 'The token it was finished under: tells a worker whose answer was lost that its write stands.';
comment on column syncline.run_history.started_at is 'When its first attempt began; null: it never ran.';
comment on column syncline.run_history.finished_at is 'When it reached its outcome.';
comment on column syncline.run_history.checkpoint_sequence is 'As in run.';
comment on column syncline.run_history.checkpoint is 'As in run, at the end.';
comment on column syncline.run_history.progress is 'As in run, at the end.';
comment on column syncline.run_history.last_error is 'As in run.';
comment on column syncline.run_history.created_at is 'As in run.';

create table syncline.attempt (
    run_id uuid not null,
    token bigint not null,
    number integer not null,
    process_id uuid not null,
    process_name text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    outcome text,
    error jsonb,
    calls bigint not null default 0,
    primary key (run_id, token),
    constraint attempt_outcome_known check (outcome in (
        'succeeded', 'partial', 'failed', 'cancelled', 'retry', 'limited', 'yielded', 'drained', 'lost')),
    constraint attempt_ended_whole check ((ended_at is null) = (outcome is null))
) partition by range (run_id);
comment on table syncline.attempt is 'One worker''s try at a run, under a lease. Partitioned like run_history.';
comment on column syncline.attempt.run_id is 'The run.';
comment on column syncline.attempt.token is 'The lease token that the claim took.';
comment on column syncline.attempt.number is 'First, second, ... attempt of the run.';
comment on column syncline.attempt.process_id is 'The process that ran it.';
comment on column syncline.attempt.process_name is 'That process'' host and pid, kept because process rows are pruned.';
comment on column syncline.attempt.started_at is 'When it was claimed.';
comment on column syncline.attempt.ended_at is 'When it ended; null: under way.';
comment on column syncline.attempt.outcome is
    'succeeded, partial, failed, cancelled: it ended the run. retry: an error, tried again later. limited: gave way to a platform''s limit. yielded, drained: handed back. lost: its process fell silent.';
comment on column syncline.attempt.error is '{"kind", "message", "http_status", "platform_code", "excerpt", "stream"}, without secrets.';
comment on column syncline.attempt.calls is 'HTTP requests it sent.';

create table syncline.run_log (
    run_id uuid not null,
    token bigint not null,
    line integer not null,
    at timestamptz not null,
    level text not null,
    stream text,
    message text not null,
    primary key (run_id, token, line),
    constraint run_log_level_known check (level in ('info', 'warn', 'error'))
) partition by range (run_id);
comment on table syncline.run_log is 'Log lines of runs, a bounded number an attempt. Partitioned like run_history.';
comment on column syncline.run_log.run_id is 'The run.';
comment on column syncline.run_log.token is 'The attempt''s lease token.';
comment on column syncline.run_log.line is 'Counts from 1 within the attempt.';
comment on column syncline.run_log.at is 'When it was logged, by the worker''s clock.';
comment on column syncline.run_log.level is 'info, warn or error.';
comment on column syncline.run_log.stream is 'The stream it speaks of, if one.';
comment on column syncline.run_log.message is 'The sentence.';

create table syncline.run_history_default partition of syncline.run_history default;
create table syncline.attempt_default partition of syncline.attempt default;
create table syncline.run_log_default partition of syncline.run_log default;

-- Makes the partitions of this month and the given number after it. A partition is built aside and then attached, which
-- lets readers and writers of the parent go on; one lock at a time is waited for, and only briefly.
create function syncline.keep_partitions(months_ahead integer) returns integer
language plpgsql as $$
declare
    parent text;
    month timestamptz;
    child text;
    made integer := 0;
begin
    perform set_config('lock_timeout', '2s', true);
    for step in 0..months_ahead loop
        month := date_trunc('month', syncline.now() at time zone 'UTC') at time zone 'UTC';
        month := ((month at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
        foreach parent in array array['run_history', 'attempt', 'run_log'] loop
            child := parent || '_' || to_char(month at time zone 'UTC', 'YYYY_MM');
            if to_regclass('syncline.' || child) is null then
                execute format('create table syncline.%I (like syncline.%I including all)', child, parent);
                execute format(
                    'alter table syncline.%I attach partition syncline.%I for values from (%L) to (%L)',
                    parent, child,
                    syncline.run_id_floor(month),
                    syncline.run_id_floor(((month at time zone 'UTC') + interval '1 month') at time zone 'UTC'));
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end $$;
comment on function syncline.keep_partitions(integer) is
    'Creates missing monthly partitions of run_history, attempt and run_log; answers how many.';
select syncline.keep_partitions(2);

create table syncline.fair_turn (
    business_id uuid primary key,
    last_turn bigint not null
) with (fillfactor = 50);
-- In an idle queue a new turn starts after the highest one.
create index fair_turn_highest on syncline.fair_turn (last_turn);
comment on table syncline.fair_turn is 'The last turn given to each business (start-time fair queueing).';
comment on column syncline.fair_turn.business_id is 'The business. No foreign key: rows are pruned with it.';
comment on column syncline.fair_turn.last_turn is 'Its last turn.';

create table syncline.seen_key (
    run_id uuid not null,
    stream text not null,
    key text not null,
    primary key (run_id, stream, key)
);
comment on table syncline.seen_key is
    'Keys that a complete read has met so far. When the read closes, rows of its table whose key is not here are marked deleted.';
comment on column syncline.seen_key.run_id is 'The run that reads.';
comment on column syncline.seen_key.stream is 'The stream.';
comment on column syncline.seen_key.key is 'The record''s primary key as JSON text.';

create view syncline.runs as
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
        r.wait_detail,
        case when r.state = 'waiting' then r.due_at end as waiting_until,
        r.created_at, r.started_at, null::timestamptz as finished_at,
        r.checkpoint_sequence, r.checkpoint, r.progress, r.last_error
    from syncline.run r
    union all
    select
        h.id, h.outcome,
        h.batch_id, h.schedule_id, h.connection_id, h.business_id, h.platform, h.origin, h.requested_by,
        h.kind, h.streams, h.page, h.priority, h.attempt, h.failures,
        null, null, null,
        h.created_at, h.started_at, h.finished_at,
        h.checkpoint_sequence, h.checkpoint, h.progress, h.last_error
    from syncline.run_history h;
comment on view syncline.runs is 'All runs, unfinished and finished. Public: its columns stay.';
comment on column syncline.runs.id is 'Identity; ordered by time of creation.';
comment on column syncline.runs.status is
    'queued, running, waiting, retrying; then succeeded, partial, failed or cancelled.';
comment on column syncline.runs.batch_id is 'The batch it belongs to.';
comment on column syncline.runs.schedule_id is 'The schedule that made it; null: a person did.';
comment on column syncline.runs.connection_id is 'The connection it syncs.';
comment on column syncline.runs.business_id is 'The connection''s business.';
comment on column syncline.runs.platform is 'The connection''s platform.';
comment on column syncline.runs.origin is 'schedule or manual.';
comment on column syncline.runs.requested_by is 'Who asked for it, if a person did.';
comment on column syncline.runs.kind is 'incremental, full or page.';
comment on column syncline.runs.streams is 'Only these streams; null: those the connection has chosen.';
comment on column syncline.runs.page is 'The page to read, if that is the kind.';
comment on column syncline.runs.priority is 'The smaller, the sooner.';
comment on column syncline.runs.attempt is 'How many attempts have begun.';
comment on column syncline.runs.failures is 'Errors and crashes since a checkpoint last advanced.';
comment on column syncline.runs.waiting_for is
    'Of a run that waits: delay, limit, backoff, or overlap (behind another run of its connection).';
comment on column syncline.runs.wait_detail is 'What it waits for, in words.';
comment on column syncline.runs.waiting_until is 'When the wait ends, where that is known.';
comment on column syncline.runs.created_at is 'When it was enqueued.';
comment on column syncline.runs.started_at is 'When its first attempt began.';
comment on column syncline.runs.finished_at is 'When it reached its outcome.';
comment on column syncline.runs.checkpoint_sequence is 'How many checkpoints it has written.';
comment on column syncline.runs.checkpoint is 'Per stream: done, or the position from which the next attempt goes on.';
comment on column syncline.runs.progress is 'Per stream: pages, read, inserted, updated, unchanged, deleted, failed.';
comment on column syncline.runs.last_error is 'The error of the latest attempt that had one.';
