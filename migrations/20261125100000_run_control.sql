-- Control over runs: pauses, cancelling, retrying, retry policies, and turns of each priority.
--
-- Nothing has been released before this migration, so it may change what an older program relied on (the key of fair_turn,
-- attempts under way) and build the history's indexes in place.

create table syncline.pause (
    scope text not null,
    target text not null,
    cause text not null,
    note text,
    paused_by text not null,
    paused_at timestamptz not null default syncline.now(),
    primary key (scope, target),
    constraint pause_scope_known check (scope in ('everything', 'platform', 'business', 'connection')),
    constraint pause_target_whole check ((scope = 'everything') = (target = '')),
    constraint pause_cause_known check (cause in ('person', 'needs_person')),
    constraint pause_note_short check (length(note) <= 1000)
);
comment on table syncline.pause is
    'What rests until somebody resumes it. A handful of rows, read whole by whatever queues runs.';
comment on column syncline.pause.scope is 'everything, platform, business or connection.';
comment on column syncline.pause.target is 'The platform''s name, or the id of the business or connection; empty for everything.';
comment on column syncline.pause.cause is 'person: somebody asked for it. needs_person: a run ended with an error that only a person can cure.';
comment on column syncline.pause.note is 'Why, in words.';
comment on column syncline.pause.paused_by is 'Who: the name of a token or user, or the worker that met the error.';
comment on column syncline.pause.paused_at is 'Since when.';

create table syncline.platform (
    name text primary key,
    retry jsonb not null default '{}',
    updated_at timestamptz not null default syncline.now(),
    constraint platform_retry_object check (jsonb_typeof(retry) = 'object')
);
comment on table syncline.platform is 'Settings of a platform that differ from the defaults. A platform without a row has the defaults.';
comment on column syncline.platform.name is 'The connector''s name.';
comment on column syncline.platform.retry is
    'Retry policy of its runs, each part optional: {"base_seconds", "factor", "cap_seconds", "jitter", "max_failures"}.';
comment on column syncline.platform.updated_at is 'When it was last changed.';

alter table syncline.connection add column retry jsonb not null default '{}'
    constraint connection_retry_object check (jsonb_typeof(retry) = 'object');
comment on column syncline.connection.retry is 'Overrides of its platform''s retry policy, in the same form.';

alter table syncline.run
    drop column max_failures,
    add column retry_of uuid,
    add column cancel_requested_at timestamptz,
    add column cancel_requested_by text,
    add column cancel_note text,
    add constraint run_counts_not_negative check (attempt >= 0 and failures >= 0),
    drop constraint run_wait_reason_known,
    add constraint run_wait_reason_known check (
        wait_reason in ('delay', 'limit', 'backoff', 'dependency', 'pause')) not valid,
    add constraint run_cancel_whole check (
        (cancel_requested_at is null) = (cancel_requested_by is null)
        and (cancel_requested_at is not null or cancel_note is null)) not valid;
alter table syncline.run validate constraint run_wait_reason_known;
alter table syncline.run validate constraint run_cancel_whole;
comment on column syncline.run.retry_of is 'The finished run that this one repeats.';
comment on column syncline.run.cancel_requested_at is 'When somebody asked to cancel it; its worker ends it at the next opportunity.';
comment on column syncline.run.cancel_requested_by is 'Who asked.';
comment on column syncline.run.cancel_note is 'Why, in words.';
comment on column syncline.run.wait_reason is
    'delay (due later), limit (a platform''s budget), backoff (before a retry), dependency (on another batch), pause.';
comment on column syncline.run.fair_turn is
    'Place in the queue: its business'' turn (start-time fair queueing) plus its priority, so that nobody is overtaken for ever.';
-- The sweep for runs whose cancelling met them between two attempts.
create index run_cancel_requested on syncline.run (id) where cancel_requested_at is not null;

-- The table holds unfinished runs only, so its indexes are built in moments.
-- The claim reads the heads of this index, one for each platform that has something queued, and nothing else: shares of slots
-- are kept by platform.
drop index syncline.run_claim;
create index run_claim on syncline.run (queue, platform, fair_turn, due_at) where state = 'queued';
-- Finishing a run asks for the next one of its connection, in the order of turns.
drop index syncline.run_next_of_connection;
create index run_next_of_connection on syncline.run (connection_id, fair_turn) where state = 'blocked';
-- The due-mover's question. What waits for an event has no due time to be looked for.
drop index syncline.run_due;
create index run_due on syncline.run (due_at) where state = 'waiting' and wait_reason in ('delay', 'limit', 'backoff');
-- What a pause holds back, or a resume sets free.
create index run_paused on syncline.run (id) where wait_reason = 'pause';

alter table syncline.run_history
    add column retry_of uuid,
    add column retried_by uuid,
    add column cancelled_by text,
    add column cancel_note text;
comment on column syncline.run_history.retry_of is 'As in run.';
comment on column syncline.run_history.retried_by is 'The run that repeats this one: nobody retries it twice.';
comment on column syncline.run_history.cancelled_by is 'Who cancelled it.';
comment on column syncline.run_history.cancel_note is 'Why, in words.';
-- A filter for what went wrong reads only what went wrong, however much went well beside it.
create index run_history_unsuccessful_of_connection on syncline.run_history (connection_id, id) where outcome <> 'succeeded';
create index run_history_unsuccessful_of_schedule on syncline.run_history (schedule_id, id)
    where outcome <> 'succeeded' and schedule_id is not null;
create index run_history_unsuccessful_of_business on syncline.run_history (business_id, id) where outcome <> 'succeeded';
create index run_history_unsuccessful_of_platform on syncline.run_history (platform, id) where outcome <> 'succeeded';
create index run_history_of_batch on syncline.run_history (batch_id, id);

-- An attempt is written when it ends; while it runs, the run's own row tells of it.
delete from syncline.attempt where ended_at is null;
alter table syncline.attempt
    add column reason text,
    drop constraint attempt_outcome_known,
    add constraint attempt_outcome_known check (outcome in (
        'succeeded', 'partial', 'failed', 'cancelled', 'retry', 'limited', 'yielded', 'paused', 'drained', 'stalled', 'lost')),
    drop constraint attempt_ended_whole,
    alter column ended_at set not null,
    alter column outcome set not null;
comment on table syncline.attempt is
    'One worker''s try at a run, under a lease, written when it ends. Partitioned like run_history.';
comment on column syncline.attempt.ended_at is 'When it ended.';
comment on column syncline.attempt.outcome is
    'succeeded, partial, failed, cancelled: it ended the run. retry: an error, tried again later. limited: gave way to a platform''s limit. yielded: to other runs. paused, drained: handed back. stalled: made no progress. lost: its process fell silent.';
comment on column syncline.attempt.reason is 'Why the run changed its state, and who wanted it, in words.';

alter table syncline.process add column application text;
comment on column syncline.process.application is
    'The application_name of its connections to the database: rescue ends those that are left of a silent process.';

-- Turns are counted for each priority: a business that has queued much backfill is not behind with its other runs.
alter table syncline.fair_turn
    add column priority smallint not null default 50,
    drop constraint fair_turn_pkey,
    add primary key (business_id, priority);
drop index syncline.fair_turn_highest;
comment on table syncline.fair_turn is 'The last turn given to each business at each priority (start-time fair queueing).';
comment on column syncline.fair_turn.priority is 'The priority of the runs.';

-- A sequence, so that claims advance it without waiting for one another. It needs no more than to be about right.
create sequence syncline.virtual_turn minvalue 0 start 0;
select setval('syncline.virtual_turn', coalesce((select max(last_turn) from syncline.fair_turn), 0));
comment on sequence syncline.virtual_turn is
    'The virtual time of the queue: the highest turn that was claimed. Runs that are queued from now on come after it.';
update syncline.run set fair_turn = fair_turn + priority;

create table syncline.idempotency_key (
    scope text not null,
    key text not null,
    body_hash bytea not null,
    answer jsonb not null,
    created_at timestamptz not null default syncline.now(),
    expires_at timestamptz not null,
    primary key (scope, key),
    constraint idempotency_key_short check (length(key) between 1 and 255)
);
create index idempotency_key_expiry on syncline.idempotency_key (expires_at);
comment on table syncline.idempotency_key is 'Requests that were carried out under a key of the caller''s, so that a repetition gets the same answer.';
comment on column syncline.idempotency_key.scope is 'Method and path of the request, and whose key it is.';
comment on column syncline.idempotency_key.key is 'The caller''s key.';
comment on column syncline.idempotency_key.body_hash is 'SHA-256 of the body: the same key with another body is a mistake.';
comment on column syncline.idempotency_key.answer is 'What the request made: {"run": id} or {"batch": id}.';
comment on column syncline.idempotency_key.created_at is 'When it was carried out.';
comment on column syncline.idempotency_key.expires_at is 'When the key may be used anew.';

-- Drops the partitions that hold only what is older than the cut, and deletes such rows from the default partitions. Waits
-- briefly for the lock that it needs on the parent; the next pass tries again.
create function syncline.drop_old_partitions(cut timestamptz) returns integer
language plpgsql as $$
declare
    parent text;
    child record;
    dropped integer := 0;
begin
    perform set_config('lock_timeout', '2s', true);
    foreach parent in array array['run_history', 'attempt', 'run_log'] loop
        for child in
            select c.relname as name
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = ('syncline.' || parent)::regclass
              and c.relname ~ ('^' || parent || '_[0-9]{4}_[0-9]{2}$')
              and (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC' <= cut
            order by c.relname
        loop
            execute format('drop table syncline.%I', child.name);
            dropped := dropped + 1;
        end loop;
        execute format('delete from syncline.%I where %I < $1', parent || '_default',
                       case parent when 'run_history' then 'id' else 'run_id' end)
        using syncline.run_id_floor(cut);
    end loop;
    return dropped;
end $$;
comment on function syncline.drop_old_partitions(timestamptz) is
    'Drops partitions of run_history, attempt and run_log that hold only what is older than an instant; answers how many.';

-- What rests at the moment, as a person would say it; null: nothing stops such a run.
create function syncline.pause_note(run_platform text, run_business uuid, run_connection uuid) returns text
language sql stable parallel safe
begin atomic
    select case p.scope
               when 'everything' then 'everything'
               when 'platform' then 'platform ' || p.target
               when 'business' then 'its business'
               else 'its connection'
           end || ' is paused by ' || p.paused_by || coalesce(': ' || p.note, '')
    from syncline.pause p
    where p.scope = 'everything'
       or p.scope = 'platform' and p.target = run_platform
       or p.scope = 'business' and p.target = run_business::text
       or p.scope = 'connection' and p.target = run_connection::text
    order by p.scope = 'everything' desc, p.scope = 'platform' desc, p.scope = 'business' desc
    limit 1;
end;
comment on function syncline.pause_note(text, uuid, uuid) is
    'Why runs of this platform, business and connection rest, in words; null: they do not.';

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
        r.wait_detail,
        case when r.state = 'waiting' and r.wait_reason not in ('pause', 'dependency') then r.due_at end as waiting_until,
        r.created_at, r.started_at, null::timestamptz as finished_at,
        r.checkpoint_sequence, r.checkpoint, r.progress, r.last_error,
        r.retry_of, null::uuid as retried_by, r.cancel_requested_at, r.cancel_requested_by as cancelled_by, r.cancel_note
    from syncline.run r
    union all
    select
        h.id, h.outcome,
        h.batch_id, h.schedule_id, h.connection_id, h.business_id, h.platform, h.origin, h.requested_by,
        h.kind, h.streams, h.page, h.priority, h.attempt, h.failures,
        null, null, null,
        h.created_at, h.started_at, h.finished_at,
        h.checkpoint_sequence, h.checkpoint, h.progress, h.last_error,
        h.retry_of, h.retried_by, null, h.cancelled_by, h.cancel_note
    from syncline.run_history h;
comment on column syncline.runs.waiting_for is
    'Of a run that waits: delay, limit, backoff, dependency, pause, or overlap (behind another run of its connection).';
comment on column syncline.runs.retry_of is 'The finished run that this one repeats.';
comment on column syncline.runs.retried_by is 'The run that repeats this one.';
comment on column syncline.runs.cancel_requested_at is 'Of an unfinished run: when somebody asked to cancel it.';
comment on column syncline.runs.cancelled_by is 'Who cancelled it, or asked to.';
comment on column syncline.runs.cancel_note is 'Why, in words.';
