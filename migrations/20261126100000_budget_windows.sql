-- Budgets count what may still weigh on the platform, window by window, in place of one pace for each key.
--
-- A permit is charged at the last moment at which its request can have left: the end of its lease. A report moves the charge back to where the
-- request did leave, or takes it away. Charges are kept by slots, a fiftieth of the window each. The argument is in shared/src/budget/mod.rs.
--
-- The rows of a budget are changed under its row's lock only, which one statement takes, changes and gives back: a process that freezes
-- holds nobody up.
--
-- Permits that the release before gave are not carried over: nothing has been released yet.

drop function syncline.take_permits(text, text, text, integer, bigint, integer);
drop table syncline.budget;

create table syncline.budget (
    key text primary key,
    platform text not null,
    name text not null,
    scope text not null,
    paused_until timestamptz,
    paused_because text,
    granted bigint not null default 0,
    refused bigint not null default 0,
    limited bigint not null default 0,
    limited_at timestamptz,
    limited_in_a_row integer not null default 0,
    virtual_time bigint not null default 0,
    contended_until timestamptz,
    corrected_at timestamptz,
    updated_at timestamptz not null,
    constraint budget_pause_whole check ((paused_until is null) = (paused_because is null)),
    constraint budget_counts_not_negative check (granted >= 0 and refused >= 0 and limited >= 0 and limited_in_a_row >= 0)
) with (fillfactor = 50);
create index budget_corrected on syncline.budget (corrected_at) where corrected_at is not null;
create index budget_by_platform on syncline.budget (platform, key);
comment on table syncline.budget is 'A platform''s limits for one key, shared by all processes.';
comment on column syncline.budget.key is 'platform/budget name/scope, for example g2a/export/<client id>.';
comment on column syncline.budget.platform is 'The platform.';
comment on column syncline.budget.name is 'The budget''s name in the manifest.';
comment on column syncline.budget.scope is 'Whose budget it is: the account part of the key.';
comment on column syncline.budget.paused_until is 'No permits before this instant, whoever asks: the platform said so.';
comment on column syncline.budget.paused_because is 'What the platform said.';
comment on column syncline.budget.granted is 'Permits given so far.';
comment on column syncline.budget.refused is 'Requests for permits that were refused so far.';
comment on column syncline.budget.limited is 'Answers of the platform that a limit is reached, so far.';
comment on column syncline.budget.limited_at is 'When the last of them came.';
comment on column syncline.budget.limited_in_a_row is 'How many of them came with nothing but pauses in between.';
comment on column syncline.budget.virtual_time is
    'Where the fair order stands: points over weight of whoever was served last (start-time fair queueing).';
comment on column syncline.budget.contended_until is 'Somebody waits for permits until then; null or past: nobody.';
comment on column syncline.budget.corrected_at is 'When the platform last told something that holders of permits must know.';
comment on column syncline.budget.updated_at is 'When permits were last given or refused; the budget''s clock never goes back behind it.';

create table syncline.budget_window (
    key text not null references syncline.budget (key) on delete cascade,
    word text not null,
    kind text not null,
    per_ms bigint not null,
    guard_ms bigint not null,
    zone text,
    slot_ms bigint not null,
    points_limit bigint not null,
    slots bigint[] not null default '{}',
    points bigint[] not null default '{}',
    outside bigint not null default 0,
    outside_until bigint not null default 0,
    told_limit bigint,
    told_at bigint not null default 0,
    resets_at bigint not null default 0,
    eased_to double precision,
    eased_at bigint not null default 0,
    ceiling double precision,
    primary key (key, word),
    constraint budget_window_kind_known check (kind in ('rolling', 'fixed', 'day', 'month', 'concurrent')),
    constraint budget_window_limit_positive check (points_limit >= 1),
    constraint budget_window_per check (per_ms >= 0 and (kind = 'concurrent') = (per_ms = 0)),
    constraint budget_window_guard_not_negative check (guard_ms >= 0),
    constraint budget_window_zone check ((zone is not null) = (kind in ('day', 'month'))),
    constraint budget_window_slot_positive check (slot_ms >= 1),
    constraint budget_window_charges_whole check (cardinality(slots) = cardinality(points)),
    constraint budget_window_told check (outside >= 0 and told_limit >= 0),
    constraint budget_window_eased_whole check ((eased_to is null) = (ceiling is null))
) with (fillfactor = 50);
comment on table syncline.budget_window is 'One of the limits of a budget, and what is charged to it.';
comment on column syncline.budget_window.key is 'The budget.';
comment on column syncline.budget_window.word is 'Kind and length as one word, for example "rolling 1000ms".';
comment on column syncline.budget_window.kind is
    'rolling: so many points in any stretch of time of that length; fixed: between two resets of the platform''s counter; day, month: of the calendar; concurrent: at once, until their answers are there.';
comment on column syncline.budget_window.per_ms is 'Length of the window in milliseconds; of a month the longest; 0: concurrent.';
comment on column syncline.budget_window.guard_ms is 'For so many milliseconds longer a charge counts, for the way to the platform.';
comment on column syncline.budget_window.zone is 'Zone of the calendar.';
comment on column syncline.budget_window.slot_ms is 'Length of a slot in milliseconds; 1 of calendars, see slot_of.';
comment on column syncline.budget_window.points_limit is 'The limit, in points: calls of weight one. As it was when permits were last asked for.';
comment on column syncline.budget_window.slots is 'Slots with charges, by number: milliseconds since 1970 divided by the length of a slot. In order.';
comment on column syncline.budget_window.points is 'What is charged to each of them.';
comment on column syncline.budget_window.outside is 'Points that others have used, as far as the platform''s own count exceeds ours.';
comment on column syncline.budget_window.outside_until is 'They count until then, in milliseconds since 1970.';
comment on column syncline.budget_window.told_limit is 'The limit that the platform told, if it is below ours.';
comment on column syncline.budget_window.told_at is 'When the request left whose answer told last, in milliseconds since 1970; what is older is not believed.';
comment on column syncline.budget_window.resets_at is 'When the platform''s counter begins anew, in milliseconds since 1970, if it told; 0: it did not.';
comment on column syncline.budget_window.eased_to is 'What was allowed right after the platform last refused without telling its limit; null: it did not.';
comment on column syncline.budget_window.eased_at is 'When that was, in milliseconds since 1970.';
comment on column syncline.budget_window.ceiling is 'The most that seemed to be allowed then: what is allowed comes near it soon, and passes it slowly.';

create table syncline.budget_waiter (
    key text not null references syncline.budget (key) on delete cascade,
    waiter uuid not null,
    business_id uuid not null,
    start_at bigint,
    finish_at bigint not null default 0,
    points bigint not null default 0,
    share integer not null default 1,
    expires_at bigint not null,
    primary key (key, waiter),
    constraint budget_waiter_points_not_negative check (points >= 0),
    constraint budget_waiter_share_positive check (share >= 1)
) with (fillfactor = 50);
comment on table syncline.budget_waiter is 'Who waits for permits of a budget, or comes again soon, and whose turn it is. Empty where nobody has to wait.';
comment on column syncline.budget_waiter.key is 'The budget.';
comment on column syncline.budget_waiter.waiter is 'A process for one business; or a business: for runs that wait without a process, and for what it got.';
comment on column syncline.budget_waiter.business_id is 'For whom.';
comment on column syncline.budget_waiter.start_at is 'Its place in the fair order; null: it does not wait.';
comment on column syncline.budget_waiter.finish_at is 'Where the fair order puts the business after what it got.';
comment on column syncline.budget_waiter.points is 'So many points are kept for it, and those by which it is behind others.';
comment on column syncline.budget_waiter.share is 'How much the business gets, in relation to others.';
comment on column syncline.budget_waiter.expires_at is 'Until then, in milliseconds since 1970: it was told to come before.';

create table syncline.circuit (
    key text primary key,
    platform text not null,
    failures integer not null,
    times_open integer not null default 0,
    open_until timestamptz,
    probing_until timestamptz,
    because text not null,
    changed_at timestamptz not null,
    updated_at timestamptz not null,
    constraint circuit_failures_positive check (failures >= 1 and times_open >= 0)
) with (fillfactor = 50);
create index circuit_changed on syncline.circuit (changed_at);
comment on table syncline.circuit is 'Platforms'' hosts that fail: a row from the first failure until the next success.';
comment on column syncline.circuit.key is 'platform/host:port.';
comment on column syncline.circuit.platform is 'The platform.';
comment on column syncline.circuit.failures is 'Failures in a row, of all processes: no answer, or one of a server that fails (5xx).';
comment on column syncline.circuit.times_open is 'How often it was opened since the last success.';
comment on column syncline.circuit.open_until is 'Nothing is sent before; then one request at a time, to see. Null: everything is sent.';
comment on column syncline.circuit.probing_until is 'One request is out to see, and its answer is waited for until then.';
comment on column syncline.circuit.because is 'The last failure, in words.';
comment on column syncline.circuit.changed_at is 'When it was opened, closed or begun.';
comment on column syncline.circuit.updated_at is 'When it last failed.';

create table syncline.connection_budget (
    connection_id uuid not null references syncline.connection (id) on delete cascade,
    key text not null,
    streams text[] not null,
    seen_at timestamptz not null,
    primary key (key, connection_id)
);
create index connection_budget_by_connection on syncline.connection_budget (connection_id);
comment on table syncline.connection_budget is 'Which budgets the requests of a connection drew on, as was seen.';
comment on column syncline.connection_budget.connection_id is 'The connection.';
comment on column syncline.connection_budget.key is 'The budget.';
comment on column syncline.connection_budget.streams is 'The streams whose requests did.';
comment on column syncline.connection_budget.seen_at is 'When that was last noted.';

-- Milliseconds since 1970.
create function syncline.epoch_ms(at timestamptz) returns bigint
language sql stable parallel safe
return ceil(extract(epoch from at) * 1000)::bigint;
comment on function syncline.epoch_ms(timestamptz) is 'Milliseconds since 1970, rounded up.';

-- Until when a charge counts whose slot ends at `slot_end`.
--
-- A counter of the platform begins anew where it said so, and did so in the same steps before. A charge so short before that its request
-- may arrive afterwards, and one for whose time nothing was said, is taken for one of a rolling window, which is never too short.
create function syncline.counts_until(
    kind text, per_ms bigint, guard_ms bigint, zone text, resets_at bigint, slot_end bigint)
returns bigint language sql stable parallel safe
return case kind
    when 'rolling' then slot_end + per_ms + guard_ms
    when 'concurrent' then slot_end
    when 'fixed' then case
        when resets_at >= slot_end + guard_ms then resets_at - (resets_at - guard_ms - slot_end) / per_ms * per_ms
        else slot_end + per_ms end + guard_ms
    else syncline.epoch_ms((date_trunc(kind, to_timestamp((slot_end - 1) / 1000.0) at time zone zone)
                            + ('1 ' || kind)::interval) at time zone zone) + guard_ms
end;
comment on function syncline.counts_until(text, bigint, bigint, text, bigint, bigint) is 'Until when a charge counts, in milliseconds since 1970.';

-- The slot of a charge. Charges of a calendar's window end together, so they have one slot, its last millisecond; those whose requests may
-- arrive after midnight are charged to the next.
create function syncline.slot_of(kind text, guard_ms bigint, zone text, slot_ms bigint, charged_at bigint)
returns bigint language sql stable parallel safe
return case when kind in ('day', 'month')
    then syncline.counts_until(kind, 0, 0, zone, 0, charged_at + guard_ms + 1) - 1
    else charged_at / slot_ms end;
comment on function syncline.slot_of(text, bigint, text, bigint, bigint) is 'The slot of a charge.';

-- What a window allows, after the platform has refused without telling its limit: within four windows as much as seemed to be allowed,
-- then a hundredth of the limit more, at least a point, every ten windows (additive increase; Chiu and Jain 1989).
create function syncline.allowed_points(
    points_limit bigint, told_limit bigint, eased_to double precision, ceiling double precision, eased_at bigint, per_ms bigint, at bigint)
returns bigint language sql immutable parallel safe
return greatest(1, least(points_limit, coalesce(told_limit, points_limit), floor(case
    when eased_to is null then points_limit
    when at - eased_at < 4 * per_ms then
        eased_to + (ceiling - eased_to) * greatest(0, at - eased_at) / (4.0 * per_ms)
    else ceiling + greatest(1, points_limit / 100.0) * floor((at - eased_at - 4 * per_ms) / (10.0 * per_ms))
end)::bigint));
comment on function syncline.allowed_points(bigint, bigint, double precision, double precision, bigint, bigint, bigint) is
    'What a window allows at an instant.';

-- Creates a budget, and windows that it does not have yet. A new window begins with what the longest other one of the budget remembers, a
-- calendar only if there is no other: who shortens a window does not get it twice. What that one charged to a time still to come, further
-- than leases reach, is charged to now.
create function syncline.define_budget(
    budget_key text, platform_name text, budget_name text, budget_scope text,
    words text[], kinds text[], lengths bigint[], guards bigint[], zones text[], slot_lengths bigint[], limits bigint[])
returns void language plpgsql as $$
begin
    insert into syncline.budget (key, platform, name, scope, updated_at)
    values (budget_key, platform_name, budget_name, budget_scope, syncline.now())
    on conflict (key) do nothing;
    -- Waits for whoever takes permits.
    perform from syncline.budget where key = budget_key for update;
    insert into syncline.budget_window (key, word, kind, per_ms, guard_ms, zone, slot_ms, points_limit, slots, points)
    select budget_key, n.word, n.kind, n.per_ms, n.guard_ms, n.zone, n.slot_ms, n.points_limit,
           coalesce(b.slots, '{}'), coalesce(b.points, '{}')
    from (select k.word, k.kind, k.per_ms, k.guard_ms, k.zone, case when k.kind in ('day', 'month') then 1 else k.slot_ms end as slot_ms,
                 k.points_limit
          from unnest(words, kinds, lengths, guards, zones, slot_lengths, limits)
              as k (word, kind, per_ms, guard_ms, zone, slot_ms, points_limit)) n
    left join lateral (
        select array_agg(c.slot order by c.slot) as slots, array_agg(c.points order by c.slot) as points
        from (
            select syncline.slot_of(
                       n.kind, n.guard_ms, n.zone, n.slot_ms,
                       least((s.slot + 1) * o.slot_ms - 1, syncline.epoch_ms(syncline.now()) + 10000)) as slot,
                   sum(s.points)::bigint as points
            from (select * from syncline.budget_window w
                  where w.key = budget_key and w.kind <> 'concurrent'
                  order by w.kind in ('rolling', 'fixed') desc, w.per_ms desc limit 1) o
            cross join unnest(o.slots, o.points) as s (slot, points)
            group by 1) c
        where n.kind <> 'concurrent') b on true
    on conflict (key, word) do nothing;
end $$;
comment on function syncline.define_budget(text, text, text, text, text[], text[], bigint[], bigint[], text[], bigint[], bigint[]) is
    'Creates a budget, and windows that it does not have yet.';

-- A window with a charge changed: points more, or fewer. A window of time is charged at an instant, one of requests at once until an
-- instant; null: not at all.
create function syncline.with_charge(w syncline.budget_window, charged_at bigint, charged_until bigint, change bigint)
returns syncline.budget_window language plpgsql stable as $$
declare
    slot bigint := case w.kind when 'concurrent' then charged_until
        else syncline.slot_of(w.kind, w.guard_ms, w.zone, w.slot_ms, charged_at) end;
    place integer := cardinality(w.slots);
begin
    if slot is null or change = 0 then
        return w;
    end if;
    while place > 0 and w.slots[place] > slot loop
        place := place - 1;
    end loop;
    if place > 0 and w.slots[place] = slot then
        if w.points[place] + change > 0 then
            w.points[place] := w.points[place] + change;
        else
            w.slots := w.slots[:place - 1] || w.slots[place + 1:];
            w.points := w.points[:place - 1] || w.points[place + 1:];
        end if;
    elsif change > 0 then
        w.slots := w.slots[:place] || slot || w.slots[place + 1:];
        w.points := w.points[:place] || change || w.points[place + 1:];
    end if;
    return w;
end $$;
comment on function syncline.with_charge(syncline.budget_window, bigint, bigint, bigint) is 'A window with a charge changed.';

-- A window without the charges that no longer count. Slots are in order, and what was charged later counts for longer.
create function syncline.without_past(w syncline.budget_window, at bigint)
returns syncline.budget_window language plpgsql stable as $$
declare
    past integer := 0;
begin
    while past < cardinality(w.slots)
        and syncline.counts_until(w.kind, w.per_ms, w.guard_ms, w.zone, w.resets_at, (w.slots[past + 1] + 1) * w.slot_ms) <= at loop
        past := past + 1;
    end loop;
    if past > 0 then
        w.slots := w.slots[past + 1:];
        w.points := w.points[past + 1:];
    end if;
    return w;
end $$;
comment on function syncline.without_past(syncline.budget_window, bigint) is 'A window without the charges that no longer count.';

-- Where somebody stands in the fair order of a budget: in the place that he or his business has, else at the end of what was served and of
-- what his business got.
create function syncline.place_of(budget_key text, asker uuid, business uuid, at bigint, out start_at bigint, out waiter uuid)
language plpgsql stable as $$
begin
    select m.start_at, m.waiter into place_of.start_at, place_of.waiter
    from syncline.budget_waiter m
    where m.key = budget_key and m.waiter in (asker, business) and m.start_at is not null and m.expires_at > at
    order by m.start_at, m.waiter limit 1;
    if not found then
        waiter := asker;
        select greatest(b.virtual_time, m.finish_at) into place_of.start_at
        from syncline.budget b left join syncline.budget_waiter m on m.key = b.key and m.waiter = business
        where b.key = budget_key;
    end if;
end $$;
comment on function syncline.place_of(text, uuid, uuid, bigint) is 'Where somebody stands in the fair order of a budget.';

-- Settles what became of earlier permits, and takes new ones, for all windows of several budgets at once: of all, or of none.
--
-- Rows are locked in the order of their keys, so two takers cannot wait for each other. The clock is that of the statement's start: it
-- is never later than the moment at which a budget was locked, so a wait for the lock only makes the count stricter; and never earlier
-- than what the budget has seen, so that a clock set back gives no window twice.
--
-- `keys`, `weights`, `reserves`: the budgets, each once, what one request costs each, and how many percent of what their windows allow are
-- kept for runs that a person started. `window_keys`, `window_words`, `window_limits`: all their windows. `asker`, `business`, `share`,
-- `by_hand`: who asks, for whom, how much of a contended budget that business gets in relation to others, and whether a person started it.
-- Waits up to `patience_ms` are waited out by the asker itself.
--
-- `settled_*`: charges of earlier permits, as they were made, with the instant at which their requests left and what they cost; without
-- an instant nothing was sent, and they are taken away. `settled_held`: until when a request is still under way, if it is. Without
-- `settled_at` only that changes.
--
-- While others wait, points are kept for those whose turn comes earlier. Who is refused learns when his own turn has room, and keeps
-- his place until shortly after that.
--
-- Answers how many permits were granted, and the instant at which they are charged: no request may leave after it. Otherwise for how
-- long to wait, and for which budget. `undefined`: budgets with windows that are not there yet; then nothing was granted.
create function syncline.take_permits(
    keys text[], weights bigint[], reserves integer[], window_keys text[], window_words text[], window_limits bigint[],
    want bigint, lease_ms bigint, hold_ms bigint, circuit_key text,
    asker uuid, business uuid, share integer, by_hand boolean, patience_ms bigint,
    settled_keys text[], settled_at bigint[], settled_until bigint[], settled_points bigint[], settled_sent bigint[],
    settled_held bigint[], settled_cost bigint[],
    out granted bigint, out charged_at bigint, out charged_until bigint, out wait_ms bigint, out refused_by text, out because text,
    out undefined text[])
language plpgsql as $$
declare
    at bigint := syncline.epoch_ms(syncline.now());
    budget syncline.budget;
    paused syncline.budget;
    breaker syncline.circuit;
    contended_until timestamptz;
    is_contended boolean;
    -- Of each budget: points that are kept for those whose turn is before the asker's, where the asker stands, and until when they are.
    aheads bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    -- Of them and of those whose time has not come yet.
    queues bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    starts bigint[];
    places_end bigint[];
    place record;
    -- The windows as they will be stored; of each the number of its budget, what it allows the asker (null: it was not asked for), and what of
    -- that is kept for others.
    stored record;
    w syncline.budget_window;
    windows syncline.budget_window[] := '{}';
    numbers integer[] := '{}';
    allowed bigint[] := '{}';
    kept bigint[] := '{}';
    number integer;
    asked integer := 0;
    left_over bigint;
    reserve bigint;
    ahead bigint;
    room bigint := want;
    batch bigint;
    kept_until bigint;
begin
    granted := 0;
    for budget in select * from syncline.budget b where b.key = any (keys || settled_keys) order by b.key for update loop
        at := greatest(at, syncline.epoch_ms(budget.updated_at));
        if budget.key = any (keys) then
            contended_until := greatest(contended_until, budget.contended_until);
            if budget.paused_until > coalesce(paused.paused_until, '-infinity') then
                paused := budget;
            end if;
        end if;
    end loop;
    is_contended := want > 0 and coalesce(syncline.epoch_ms(contended_until) > at, false);
    if is_contended then
        for number in 1 .. cardinality(keys) loop
            place := syncline.place_of(keys[number], asker, business, at);
            starts[number] := place.start_at;
            -- Before this one's turn each other business gets what it asked for, or as much as it is behind, if that is more.
            select coalesce(sum(greatest(t.points, t.behind)), 0), coalesce(sum(greatest(t.points, t.behind)) filter (where t.is_due), 0),
                   max(t.expires_at)
            into ahead, left_over, kept_until
            from (
                select sum(o.points) as points, max(o.expires_at) as expires_at,
                       -- Who was told to come later gets what is free then: what is free before would only lie idle.
                       bool_or(o.expires_at - case when o.waiter = o.business_id then 3000 else 250 end <= at + 50) as is_due,
                       max(case when o.business_id <> business then (place.start_at - o.start_at) * o.share / 1000 else 0 end) as behind
                from syncline.budget_waiter o
                where o.key = keys[number] and o.waiter not in (asker, business) and o.expires_at > at
                  and (o.start_at, o.waiter) < (place.start_at, place.waiter)
                group by o.business_id) t;
            aheads[number] := left_over;
            queues[number] := ahead;
            places_end[number] := kept_until;
        end loop;
    end if;

    -- What is settled, and how much room that leaves.
    for stored in
        select t as of_table, n.points_limit as asked_limit
        from syncline.budget_window t
        left join unnest(window_keys, window_words, window_limits) as n (key, word, points_limit)
            on n.key = t.key and n.word = t.word
        where t.key = any (keys || settled_keys)
    loop
        w := stored.of_table;
        for number in 1 .. cardinality(settled_keys) loop
            if settled_keys[number] = w.key then
                w := syncline.with_charge(w, settled_at[number], settled_until[number], -settled_points[number]);
                w := syncline.with_charge(w, settled_sent[number], settled_held[number], settled_cost[number]);
            end if;
        end loop;
        w := syncline.without_past(w, at);
        number := array_position(keys, w.key);
        left_over := null;
        if stored.asked_limit is not null then
            asked := asked + 1;
            w.points_limit := stored.asked_limit;
            left_over := syncline.allowed_points(
                w.points_limit, w.told_limit, w.eased_to, w.ceiling, w.eased_at, w.per_ms, at);
            -- A person's run has all of it, and is so much ahead of its turn.
            reserve := least(left_over * reserves[number] / 100, greatest(0, left_over - weights[number]));
            ahead := greatest(0, aheads[number] - case when by_hand then reserve else 0 end);
            left_over := left_over - case when by_hand then 0 else reserve end;
            left_over := greatest(weights[number], left_over);
        end if;
        windows := windows || w;
        numbers := numbers || number;
        allowed := allowed || left_over;
        kept := kept || greatest(0, queues[number] - case when by_hand then reserve else 0 end);
        if stored.asked_limit is not null then
            left_over := left_over - ahead - case when w.outside_until > at then w.outside else 0 end;
            for slot in 1 .. cardinality(w.points) loop
                left_over := left_over - w.points[slot];
            end loop;
            room := least(room, greatest(0, left_over) / weights[number]);
        end if;
    end loop;

    if want > 0 then
        select * into breaker from syncline.circuit c where c.key = circuit_key and c.open_until is not null for update;
    end if;
    if want < 1 then
        null;
    elsif asked < cardinality(window_keys) then
        undefined := array(
            select distinct k.key from unnest(window_keys, window_words) as k (key, word)
            where not exists (select from syncline.budget_window t where t.key = k.key and t.word = k.word offset 0));
    elsif syncline.epoch_ms(greatest(breaker.open_until, breaker.probing_until)) > at then
        wait_ms := syncline.epoch_ms(greatest(breaker.open_until, breaker.probing_until)) - at;
        refused_by := breaker.key;
        because := breaker.because;
    elsif syncline.epoch_ms(paused.paused_until) > at then
        wait_ms := syncline.epoch_ms(paused.paused_until) - at;
        refused_by := paused.key;
        because := paused.paused_because;
    elsif room > 0 then
        -- A host that may not answer yet gets one request, to see.
        granted := case when breaker.key is null then room else 1 end;
        charged_at := at + lease_ms;
        charged_until := charged_at + hold_ms;
    else
        -- From the newest charge to the oldest: the one with which the sum leaves no room for those ahead and a batch, about a tenth of
        -- the window, is the one to wait for. Who needs more than the whole window gives waits for as many windows.
        select max(f.free_at) - at, (array_agg(f.key order by f.free_at desc))[1], (array_agg(f.batch order by f.free_at desc))[1]
        into wait_ms, refused_by, batch
        from (
            select l.key, b.batch,
                   case
                       -- Nobody tells when an answer comes: look again soon.
                       when l.kind = 'concurrent' then least(at + 50, u.last_at)
                       -- There is room, but it is kept.
                       when g.gives - u.used >= g.weight then least(coalesce(u.room_at, g.kept_until), g.kept_until)
                       else coalesce(u.room_at, at + 1)
                           + ceil(greatest(0, g.ahead + g.weight - g.gives)::numeric / g.gives * (l.per_ms + l.guard_ms))::bigint
                   end as free_at
            from unnest(windows) with ordinality as l
            cross join lateral (
                select allowed[l.ordinality] as gives, kept[l.ordinality] as ahead, weights[numbers[l.ordinality]] as weight,
                       places_end[numbers[l.ordinality]] as kept_until) g
            cross join lateral (select g.weight * least(want, greatest(1, least(2, g.gives / 3 / g.weight), g.gives / 10 / g.weight)) as batch) b
            cross join lateral (
                select coalesce(sum(c.points), 0) as used, max(c.free_at) as last_at,
                       max(c.free_at) filter (where c.up_to_here > g.gives - g.ahead - b.batch) as room_at
                from (
                    select a.free_at, a.points, sum(a.points) over (order by a.free_at desc) as up_to_here
                    from (
                        select syncline.counts_until(
                                   l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at, (s.slot + 1) * l.slot_ms) as free_at, s.points
                        from unnest(l.slots, l.points) as s (slot, points)
                        union all
                        select l.outside_until, l.outside where l.outside_until > at) a) c) u
            where g.gives - g.ahead - u.used < g.weight) f;
    end if;

    if granted > 0 or cardinality(settled_keys) > 0 then
        for number in 1 .. cardinality(windows) loop
            w := windows[number];
            if granted > 0 then
                w := syncline.with_charge(w, charged_at, charged_until, granted * weights[numbers[number]]);
            end if;
            update syncline.budget_window t set slots = w.slots, points = w.points, points_limit = w.points_limit
            where t.key = w.key and t.word = w.word;
        end loop;
    end if;

    if refused_by is not null then
        kept_until := at + wait_ms + case when wait_ms > patience_ms then 3000 else 250 end;
        update syncline.budget b set refused = b.refused + 1, updated_at = to_timestamp(at / 1000.0),
            contended_until = case when b.key = refused_by and because is null
                then greatest(b.contended_until, to_timestamp(kept_until / 1000.0)) else b.contended_until end,
            -- While nobody waits, nobody's use is noted: when somebody does again, all begin at the same place.
            virtual_time = case when b.key = refused_by and because is null and not is_contended
                then greatest(b.virtual_time, (select max(m.finish_at) from syncline.budget_waiter m where m.key = b.key))
                else b.virtual_time end
        where b.key = any (keys);
    end if;
    if refused_by is not null and because is null then
        -- Longer waits are waited without a process: whichever claims a run of the business then has the place. Nobody has two.
        place := syncline.place_of(refused_by, asker, business, at);
        delete from syncline.budget_waiter m
        where m.key = refused_by
          and (m.waiter = asker and asker <> business
               or m.expires_at < at - 60000 - (select max(t.per_ms) from syncline.budget_window t where t.key = refused_by));
        update syncline.budget_waiter m set start_at = null, points = 0 where m.key = refused_by and m.waiter = business;
        insert into syncline.budget_waiter as m (key, waiter, business_id, start_at, points, share, expires_at)
        values (refused_by, case when wait_ms > patience_ms then business else asker end, business, place.start_at, batch, take_permits.share, kept_until)
        on conflict (key, waiter) do update set
            start_at = excluded.start_at, points = excluded.points, share = excluded.share, expires_at = excluded.expires_at;
    end if;

    if granted > 0 then
        update syncline.budget b set granted = b.granted + take_permits.granted, updated_at = to_timestamp(at / 1000.0),
            virtual_time = greatest(b.virtual_time, starts[array_position(keys, b.key)])
        where b.key = any (keys);
    end if;
    if granted > 0 and breaker.key is not null then
        update syncline.circuit c set probing_until = to_timestamp(charged_until / 1000.0), changed_at = syncline.now()
        where c.key = breaker.key;
    end if;
    if granted > 0 and is_contended then
        -- What a business got is kept for as long as the windows remember it. While others wait, it is taken to come again as soon as it has
        -- used its permits: else those who ask more often would share a burst among themselves.
        delete from syncline.budget_waiter m where m.key = any (keys) and m.waiter = asker and asker <> business;
        insert into syncline.budget_waiter as m (key, waiter, business_id, start_at, finish_at, share, expires_at)
        select b.key, business, business, f.finish_at, f.finish_at, take_permits.share, charged_at + 50
        from syncline.budget b join unnest(keys, weights, starts) as k (key, weight, start_at) on k.key = b.key
        cross join lateral (select k.start_at + take_permits.granted * k.weight * 1000 / take_permits.share as finish_at) f
        on conflict (key, waiter) do update set
            start_at = excluded.start_at, points = 0, finish_at = excluded.finish_at, share = excluded.share, expires_at = excluded.expires_at;
    end if;
end $$;
comment on function syncline.take_permits(
    text[], bigint[], integer[], text[], text[], bigint[], bigint, bigint, bigint, text, uuid, uuid, integer, boolean, bigint,
    text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[]) is
    'Settles earlier permits and takes new ones: how many were granted, else for how long to wait and why.';

-- Corrects a budget by what the platform told in an answer. Answers whether those who hold permits must know.
--
-- `sent_at`: when the request left, by this database's clock. `was_limited`: the platform refused. `asked_ms`: it wants no request for so
-- long. `remaining`, `told_limit`: points of its window, as it counts them; `used`: the part of its window that is used, 1 is all;
-- `resets_ms`: its window begins anew after so long. Null: it did not say.
--
-- A refusal without a wait pauses for the shortest window, at most ten seconds, twice as long each time it happens again; and what the
-- shortest window allows is halved, or lowered a little where it had just come near the ceiling (multiplicative decrease). Refusals of
-- requests that left before that do it no second time. A refusal with a wait only lowers it if it is not the first within three windows.
create function syncline.correct_budget(
    budget_key text, sent_at bigint, was_limited boolean, asked_ms bigint, reason text,
    remaining bigint, told_points bigint, used double precision, resets_ms bigint)
returns boolean language plpgsql as $$
declare
    at bigint;
    stored syncline.budget;
    shortest syncline.budget_window;
    spoken_of syncline.budget_window;
    ours bigint;
    theirs bigint;
    now_allowed bigint;
    pause_ms bigint;
    must_know boolean := false;
    is_repeated boolean;
begin
    select * into stored from syncline.budget b where b.key = budget_key for update;
    if not found then
        return false;
    end if;
    at := greatest(syncline.epoch_ms(syncline.now()), syncline.epoch_ms(stored.updated_at));
    -- No platform means more than a year.
    pause_ms := case when asked_ms > 31536000000 then 31536000000 else asked_ms end;

    if was_limited then
        select * into shortest from syncline.budget_window w
        where w.key = budget_key and w.kind in ('rolling', 'fixed') order by w.per_ms limit 1;
        is_repeated := stored.limited_at is not null
            and at < syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + 3 * coalesce(shortest.per_ms, 10000);
        -- Requests that were under way when another one was refused say nothing new.
        if stored.limited_at is null or sent_at > syncline.epoch_ms(stored.limited_at) then
            -- In a row: nearly nothing was sent since the last pause.
            stored.limited_in_a_row := case
                when at <= syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + coalesce(shortest.per_ms, 10000)
                then stored.limited_in_a_row + 1 else 1 end;
            if pause_ms is null then
                pause_ms := least(
                    least(greatest(coalesce(shortest.per_ms, 10000), 1000), 10000) * 2 ^ least(stored.limited_in_a_row - 1, 12),
                    greatest(coalesce((select max(w.per_ms) from syncline.budget_window w where w.key = budget_key), 0), 60000),
                    3600000)::bigint;
            end if;
            if shortest.key is not null and (asked_ms is null or is_repeated) then
                now_allowed := syncline.allowed_points(
                    shortest.points_limit, shortest.told_limit, shortest.eased_to, shortest.ceiling, shortest.eased_at, shortest.per_ms, at);
                -- What was sent seems to be too much; if that is hardly anything, half of what was allowed.
                select least(now_allowed, greatest(1, now_allowed / 2, coalesce(sum(s.points), 0))) into ours
                from unnest(shortest.slots, shortest.points) as s (slot, points)
                where syncline.counts_until(shortest.kind, shortest.per_ms, shortest.guard_ms, shortest.zone, shortest.resets_at,
                                            (s.slot + 1) * shortest.slot_ms) > at;
                update syncline.budget_window w set
                    eased_at = at,
                    ceiling = greatest(1, floor(ours * 0.95)),
                    eased_to = greatest(1, floor(ours * case when ours between w.ceiling * 0.9 and w.ceiling * 1.1 then 0.85 else 0.5 end))
                where w.key = budget_key and w.word = shortest.word;
            end if;
            update syncline.budget b set limited_at = to_timestamp(at / 1000.0), limited_in_a_row = stored.limited_in_a_row
            where b.key = budget_key;
            must_know := true;
        end if;
        update syncline.budget b set limited = b.limited + 1 where b.key = budget_key;
    end if;

    if pause_ms > 0 and (stored.paused_until is null or at + pause_ms > syncline.epoch_ms(stored.paused_until)) then
        update syncline.budget b set paused_until = to_timestamp((at + pause_ms) / 1000.0), paused_because = reason
        where b.key = budget_key;
        must_know := true;
    end if;

    if remaining is not null or used is not null or told_points is not null then
        -- The window with the limit that was told; else one that the platform resets; else the longest.
        select * into spoken_of from syncline.budget_window w
        where w.key = budget_key and w.kind <> 'concurrent'
        order by (w.points_limit is not distinct from told_points) desc, (w.kind = 'fixed') desc, w.per_ms desc limit 1;
        if found and sent_at >= spoken_of.told_at then
            if told_points is not null then
                must_know := must_know or told_points < coalesce(spoken_of.told_limit, spoken_of.points_limit);
                spoken_of.told_limit := case when told_points < spoken_of.points_limit then told_points end;
            end if;
            if spoken_of.kind = 'fixed' and resets_ms between 1 and spoken_of.per_ms + spoken_of.guard_ms then
                -- Platforms that tell whole seconds tell the same reset a little differently each time: the latest is safe.
                spoken_of.resets_at := case when abs(at + resets_ms - spoken_of.resets_at) < spoken_of.per_ms / 2
                    then greatest(at + resets_ms, spoken_of.resets_at) else at + resets_ms end;
            end if;
            -- What is not ours of what is no longer left: no more is sent than the platform has left, whatever it allows in all.
            theirs := least(spoken_of.points_limit, coalesce(spoken_of.told_limit, spoken_of.points_limit))
                - coalesce(remaining, floor(case when used < 1 then 1 - used when used >= 1 then 0 end * coalesce(told_points, spoken_of.told_limit, spoken_of.points_limit) + 1e-6)::bigint);
            select coalesce(sum(s.points), 0) into ours
            from unnest(spoken_of.slots, spoken_of.points) as s (slot, points)
            where syncline.counts_until(spoken_of.kind, spoken_of.per_ms, spoken_of.guard_ms, spoken_of.zone, spoken_of.resets_at,
                                        (s.slot + 1) * spoken_of.slot_ms) > at
              -- What may have left after this request was not in the platform's count.
              and s.slot * spoken_of.slot_ms <= sent_at;
            theirs := greatest(0, coalesce(theirs, 0) - ours);
            must_know := must_know
                or theirs > case when spoken_of.outside_until > at then spoken_of.outside else 0 end + spoken_of.points_limit / 20;
            -- Nobody tells when the use of others has passed: what it told is believed until the reset, or for a tenth of the window; for all
            -- of it where nothing is left.
            update syncline.budget_window w set
                outside = theirs, told_at = sent_at, told_limit = spoken_of.told_limit, resets_at = spoken_of.resets_at,
                outside_until = at + case when resets_ms > 0 then least(resets_ms, w.per_ms) when used >= 1 or remaining = 0 then w.per_ms
                    else greatest(1, w.per_ms / 10) end
            where w.key = budget_key and w.word = spoken_of.word;
        end if;
    end if;

    if must_know then
        update syncline.budget b set corrected_at = syncline.now() where b.key = budget_key;
    end if;
    return must_know;
end $$;
comment on function syncline.correct_budget(text, bigint, boolean, bigint, text, bigint, bigint, double precision, bigint) is
    'Corrects a budget by what the platform told in an answer; answers whether those who hold permits must know.';

-- Notes that a host did not answer, or that its server failed. At the fifth failure in a row nothing is sent to it for ten seconds; then one
-- request at a time, until one succeeds. Each failure of such a probe doubles the time, up to five minutes. Failures that are a minute
-- apart are not in a row. Answers whether other processes must know.
create function syncline.note_failure(circuit_key text, platform_name text, reason text)
returns boolean language plpgsql as $$
declare
    stored syncline.circuit;
    opens boolean;
begin
    insert into syncline.circuit (key, platform, failures, because, changed_at, updated_at)
    values (circuit_key, platform_name, 1, reason, syncline.now(), syncline.now())
    on conflict (key) do nothing;
    if found then
        return true;
    end if;
    select * into stored from syncline.circuit c where c.key = circuit_key for update;
    if not found then
        return false;
    end if;
    if stored.open_until is null and stored.updated_at < syncline.now() - interval '1 minute' then
        stored.failures := 0;
    end if;
    -- While it is open, only the answer to a probe counts: others had been sent before.
    opens := case when stored.open_until is null then stored.failures + 1 >= 5 else stored.probing_until is not null end;
    update syncline.circuit c set
        failures = stored.failures + 1,
        because = reason,
        times_open = c.times_open + opens::int,
        open_until = case when opens
            then syncline.now() + make_interval(secs => least(300, 10 * 2 ^ least(c.times_open, 6))) else c.open_until end,
        probing_until = case when opens then null else c.probing_until end,
        changed_at = case when opens then syncline.now() else c.changed_at end,
        updated_at = syncline.now()
    where c.key = circuit_key;
    return opens;
end $$;
comment on function syncline.note_failure(text, text, text) is 'Notes that a host failed; answers whether other processes must know.';

-- What runs cost: beside their calls.
alter table syncline.attempt add column points bigint not null default 0;
comment on column syncline.attempt.points is 'Points of budgets that its requests cost, the dearest budget of each.';
alter table syncline.attempt add column waited_ms bigint not null default 0;
comment on column syncline.attempt.waited_ms is 'Milliseconds for which it waited for permits.';

-- Settings of budgets by platform, and turns of businesses that share one.
alter table syncline.platform add column limits jsonb not null default '{}';
comment on column syncline.platform.limits is 'Overrides of the manifest''s budgets, by name.';
alter table syncline.platform add constraint platform_limits_object check (jsonb_typeof(limits) = 'object');
alter table syncline.business add column weight smallint not null default 1;
comment on column syncline.business.weight is 'How much of a contended budget its runs get, in relation to other businesses.';
alter table syncline.business add constraint business_weight_range check (weight between 1 and 100);

-- Which budget a run waits for, so that runs can be counted by it. Set with the wait; stale afterwards.
alter table syncline.run add column wait_key text;
comment on column syncline.run.wait_key is 'While it waits for a limit: the budget, or the host that does not answer.';
create index run_by_wait_key on syncline.run (wait_key) where state = 'waiting' and wait_reason = 'limit';
