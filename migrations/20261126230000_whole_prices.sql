-- What one request costs is charged to each window of time in full: until now a request that cost more than the smallest window of its
-- budget allows was charged no more than that to all of them. Of requests at once each counts as one. What a platform tells corrects only
-- windows that are asked for, and, where it does not say which, the one that it can mean. Who is refused learns when there is room for others.
-- The functions are as they were but for that.

alter table syncline.budget_window add column asked_at bigint not null default syncline.epoch_ms(syncline.now());
comment on column syncline.budget_window.asked_at is
    'When permits were last given within it, in milliseconds since 1970: one that is not asked for any more is not shown, and forgotten.';

-- A window within which no permit was given since then, though the budget gave some later, is not asked for any more.
create function syncline.asked_since(budget_key text, per_ms bigint) returns bigint
language sql stable parallel safe
begin atomic
    select max(w.asked_at) - greatest(asked_since.per_ms, 3600000) from syncline.budget_window w where w.key = budget_key;
end;
comment on function syncline.asked_since(text, bigint) is 'Since when a window must have been asked for to be one of its budget still.';

-- The parameters that are new have defaults: processes of the release before go on calling without.
drop function syncline.take_permits(
    text[], bigint[], integer[], text[], text[], bigint[], bigint, bigint, bigint, text, uuid, uuid, integer, boolean, bigint,
    text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint);
drop function syncline.correct_budget(text, bigint, boolean, bigint, text, bigint, bigint, double precision, bigint);

-- Settles what became of earlier permits, and takes new ones, for all windows of several budgets at once: of all, or of none.
--
-- Rows are locked in the order of their keys, so two takers cannot wait for each other. The clock is that of the statement's start: it
-- is never later than the moment at which a budget was locked, so a wait for the lock only makes the count stricter; and never earlier
-- than what the budget has seen, so that a clock set back gives no window twice.
--
-- `keys`, `weights`, `reserves`: the budgets, each once, what one request costs each, and how many percent of what their windows allow are
-- kept for runs that a person started. A window of time is charged all that a request costs; if that is more than it allows, the request
-- leaves when nothing else counts. Of requests at once each is one, whatever it costs. `window_keys`, `window_words`, `window_limits`: all their windows. `asker`, `business`, `share`,
-- `by_hand`: who asks, for whom, how much of a contended budget that business gets in relation to others, and whether a person started it.
-- Waits up to `patience_ms` are waited out by the asker itself.
--
-- `settled_*`: charges of earlier permits, as they were made, with the instant at which their requests left and what they cost; without
-- an instant nothing was sent, and they are taken away. `settled_held`: until when a request is still under way, if it is. Without
-- `settled_at` only that changes. `settled_permits`: how many they were.
--
-- While others wait, points are kept for those whose turn comes earlier. Who is refused learns when his own turn has room, and keeps
-- his place until shortly after that.
--
-- `early_ms`: the asker takes permits that begin within this time, and sends nothing before they do.
--
-- Answers how many permits were granted, after how many milliseconds which of them begin, and the instant at which those are charged that
-- begin at once, others so much later: no request may leave after it. Otherwise for how long to wait, and for which budget; and after how long
-- there is room for anybody's request of a point. `undefined`: budgets with windows that are not there yet; then nothing was granted.
create function syncline.take_permits(
    keys text[], weights bigint[], reserves integer[], window_keys text[], window_words text[], window_limits bigint[],
    want bigint, lease_ms bigint, hold_ms bigint, circuit_key text,
    asker uuid, business uuid, share integer, by_hand boolean, patience_ms bigint,
    settled_keys text[], settled_at bigint[], settled_until bigint[], settled_points bigint[], settled_sent bigint[],
    settled_held bigint[], settled_cost bigint[], early_ms bigint default 0, settled_permits bigint[] default '{}',
    out granted bigint, out begins_ms bigint[], out beginning bigint[], out charged_at bigint, out charged_until bigint,
    out wait_ms bigint, out room_ms bigint, out refused_by text, out because text, out undefined text[])
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
    -- The same in requests.
    heads_ahead bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    heads_queued bigint[] := array_fill(0::bigint, array[cardinality(keys)]);
    starts bigint[];
    places_end bigint[];
    place record;
    -- The windows as they will be stored; of each the number of its budget, what one request costs, what it allows the asker (null: it was not
    -- asked for), and what of that is kept for others.
    stored record;
    w syncline.budget_window;
    windows syncline.budget_window[] := '{}';
    numbers integer[] := '{}';
    prices bigint[] := '{}';
    allowed bigint[] := '{}';
    kept bigint[] := '{}';
    number integer;
    asked integer := 0;
    price bigint;
    left_over bigint;
    reserve bigint;
    ahead bigint;
    heads bigint;
    heads_due bigint;
    any_at bigint;
    room bigint := want;
    most bigint;
    batch bigint;
    kept_until bigint;
begin
    granted := 0;
    begins_ms := '{}';
    beginning := '{}';
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
                   coalesce(sum(t.heads), 0), coalesce(sum(t.heads) filter (where t.is_due), 0), max(t.expires_at)
            into ahead, left_over, heads, heads_due, kept_until
            from (
                select sum(o.points) as points, count(*) filter (where o.points > 0) as heads, max(o.expires_at) as expires_at,
                       -- Who was told to come later gets what is free then: what is free before would only lie idle.
                       bool_or(o.expires_at - case when o.waiter = o.business_id then 3000 else 250 end <= at + 20) as is_due,
                       max(case when o.business_id <> business then (place.start_at - o.start_at) * o.share / 1000 else 0 end) as behind
                from syncline.budget_waiter o
                where o.key = keys[number] and o.waiter not in (asker, business) and o.expires_at > at
                  and (o.start_at, o.waiter) < (place.start_at, place.waiter)
                group by o.business_id) t;
            aheads[number] := left_over;
            queues[number] := ahead;
            heads_ahead[number] := heads_due;
            heads_queued[number] := heads;
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
                price := case w.kind when 'concurrent' then coalesce(settled_permits[number], 1) else settled_points[number] end;
                w := syncline.with_charge(w, settled_at[number], settled_until[number], -price);
                -- Whatever the platform tells, a request costs no more than all that the window gives.
                w := syncline.with_charge(w, settled_sent[number], settled_held[number],
                    case w.kind when 'concurrent' then price else least(settled_cost[number], greatest(price, w.points_limit)) end);
            end if;
        end loop;
        w := syncline.without_past(w, at);
        number := array_position(keys, w.key);
        price := case when number is null then null when w.kind = 'concurrent' then 1 else weights[number] end;
        left_over := null;
        ahead := null;
        reserve := null;
        if stored.asked_limit is not null then
            asked := asked + 1;
            w.points_limit := stored.asked_limit;
            w.asked_at := at;
            -- A lower limit that was told long ago, and never again, is not believed for ever.
            w.told_limit := case when at - w.told_at < greatest(10 * w.per_ms, 86400000) then w.told_limit end;
            left_over := syncline.allowed_points(
                w.points_limit, w.told_limit, w.eased_to, w.ceiling, w.eased_at, w.per_ms, at);
            -- A person's run has all of it, and is so much ahead of its turn.
            reserve := least(left_over * reserves[number] / 100, greatest(0, left_over - price));
            ahead := case w.kind when 'concurrent' then heads_ahead[number] else aheads[number] end;
            ahead := greatest(0, ahead - case when by_hand then reserve else 0 end);
            left_over := left_over - case when by_hand then 0 else reserve end;
            left_over := greatest(price, left_over);
        end if;
        windows := windows || w;
        numbers := numbers || number;
        prices := prices || price;
        allowed := allowed || left_over;
        kept := kept || greatest(0, case w.kind when 'concurrent' then heads_queued[number] else queues[number] end
            - case when by_hand then reserve else 0 end);
        if stored.asked_limit is not null then
            left_over := left_over - ahead - case when w.outside_until > at then w.outside else 0 end;
            for slot in 1 .. cardinality(w.points) loop
                left_over := left_over - w.points[slot];
            end loop;
            room := least(room, greatest(0, left_over) / price);
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
        room_ms := wait_ms;
        refused_by := breaker.key;
        because := breaker.because;
    elsif syncline.epoch_ms(paused.paused_until) > at then
        wait_ms := syncline.epoch_ms(paused.paused_until) - at;
        room_ms := wait_ms;
        refused_by := paused.key;
        because := paused.paused_because;
    else
        -- A host that may not answer yet gets one request, to see.
        most := case when breaker.key is null then want else 1 end;
        room := least(room, most);
        if room > 0 then
            begins_ms := array[0];
            beginning := array[room];
        end if;
        if room < most and early_ms > 0 then
            -- Those that begin later: each as soon as the windows, as they will count then, have room for it and all before it.
            select begins_ms || coalesce(array_agg(p.moment - at order by p.moment), '{}'),
                   beginning || coalesce(array_agg(p.more order by p.moment), '{}')
            into begins_ms, beginning
            from (
                select m.moment, least(most, r.gives) - greatest(
                           room, max(least(most, r.gives)) over (order by m.moment rows between unbounded preceding and 1 preceding)) as more
                from (
                    select distinct f.free_at as moment
                    from unnest(windows) with ordinality as l
                    cross join lateral (
                        select syncline.counts_until(
                            l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at, (s.slot + 1) * l.slot_ms) as free_at
                        from unnest(l.slots) as s (slot)
                        union all
                        select l.outside_until) f
                    where allowed[l.ordinality] is not null and f.free_at > at and f.free_at <= at + early_ms) m
                cross join lateral (
                    select floor(min((allowed[l.ordinality] - kept[l.ordinality] - u.used) / prices[l.ordinality]))::bigint as gives
                    from unnest(windows) with ordinality as l
                    cross join lateral (
                        select coalesce(sum(s.points), 0)
                            + case when l.outside_until > m.moment then l.outside else 0 end as used
                        from unnest(l.slots, l.points) as s (slot, points)
                        where syncline.counts_until(
                            l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at, (s.slot + 1) * l.slot_ms) > m.moment) u
                    where allowed[l.ordinality] is not null) r) p
            where p.more > 0;
        end if;
        granted := (select coalesce(sum(b.permits), 0) from unnest(beginning) as b (permits));
    end if;
    if granted > 0 then
        charged_at := at + lease_ms;
        charged_until := charged_at + hold_ms;
    elsif most > 0 then
        -- From the newest charge to the oldest: the one with which the sum leaves no room for those ahead and the asker is the one to wait for;
        -- the asker's are a batch, about a tenth of the window, unless each may begin when there is room for it. Who needs more than the
        -- whole window gives waits for as many windows.
        select greatest(1, max(f.free_at) - at), (array_agg(f.key order by f.free_at desc))[1], (array_agg(f.batch order by f.free_at desc))[1],
               (array_agg(f.any_at order by f.free_at desc))[1]
        into wait_ms, refused_by, batch, any_at
        from (
            select l.key, b.batch, case when l.kind = 'concurrent' then least(at + 50, u.last_at) when g.gives > u.used then at else u.any_at end as any_at,
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
                select allowed[l.ordinality] as gives, kept[l.ordinality] as ahead, prices[l.ordinality] as weight,
                       places_end[numbers[l.ordinality]] as kept_until) g
            cross join lateral (select g.weight * least(want, greatest(1, least(2, g.gives / 3 / g.weight), g.gives / 10 / g.weight)) as batch) b
            cross join lateral (
                select coalesce(sum(c.points), 0) as used, max(c.free_at) as last_at,
                       max(c.free_at) filter (where c.up_to_here > g.gives - g.ahead - case when early_ms > 0 then g.weight else b.batch end) as room_at,
                       max(c.free_at) filter (where c.up_to_here >= g.gives) as any_at
                from (
                    select a.free_at, a.points, sum(a.points) over (order by a.free_at desc) as up_to_here
                    from (
                        -- What is charged to a time still to come is the end of a lease, and will be moved back before it is free: it is taken
                        -- to leave now, else those who wait come too late.
                        select syncline.counts_until(
                                   l.kind, l.per_ms, l.guard_ms, l.zone, l.resets_at,
                                   (case when l.kind in ('rolling', 'fixed') then least(s.slot, at / l.slot_ms) else s.slot end + 1) * l.slot_ms
                               ) as free_at,
                               s.points
                        from unnest(l.slots, l.points) as s (slot, points)
                        union all
                        select l.outside_until, l.outside where l.outside_until > at) a) c) u
            where g.gives - g.ahead - u.used < g.weight) f;
        room_ms := greatest(0, any_at - at);
    end if;

    if granted > 0 or cardinality(settled_keys) > 0 then
        for number in 1 .. cardinality(windows) loop
            w := windows[number];
            -- Of budgets for which permits are only settled, none are charged.
            for place in select * from unnest(begins_ms, beginning) as b (ms, permits) where numbers[number] is not null loop
                w := syncline.with_charge(w, charged_at + place.ms, charged_until + place.ms, place.permits * prices[number]);
            end loop;
            update syncline.budget_window t set
                slots = w.slots, points = w.points, points_limit = w.points_limit, told_limit = w.told_limit, asked_at = w.asked_at
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
        update syncline.circuit c set probing_until = to_timestamp((charged_until + begins_ms[1]) / 1000.0), changed_at = syncline.now()
        where c.key = breaker.key;
    end if;
    if granted > 0 and is_contended then
        -- What a business got is kept for as long as the windows remember it. While others wait, it is taken to come again as soon as it has
        -- used its permits: else those who ask more often would share a burst among themselves.
        delete from syncline.budget_waiter m where m.key = any (keys) and m.waiter = asker and asker <> business;
        insert into syncline.budget_waiter as m (key, waiter, business_id, start_at, finish_at, share, expires_at)
        select b.key, business, business, f.finish_at, f.finish_at, take_permits.share, charged_at + begins_ms[cardinality(begins_ms)] + 50
        from syncline.budget b join unnest(keys, weights, starts) as k (key, weight, start_at) on k.key = b.key
        cross join lateral (select k.start_at + take_permits.granted * k.weight * 1000 / take_permits.share as finish_at) f
        on conflict (key, waiter) do update set
            start_at = excluded.start_at, points = 0, finish_at = excluded.finish_at, share = excluded.share, expires_at = excluded.expires_at;
    end if;
end $$;
comment on function syncline.take_permits(
    text[], bigint[], integer[], text[], text[], bigint[], bigint, bigint, bigint, text, uuid, uuid, integer, boolean, bigint,
    text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint, bigint[]) is
    'Settles earlier permits and takes new ones: how many were granted and when they begin, else for how long to wait and why.';

-- Corrects a budget by what the platform told in an answer. Answers whether those who hold permits must know.
--
-- `sent_at`: when the request left, by this database's clock. `was_limited`: the platform refused. `asked_ms`: it wants no request for so
-- long. `remaining`, `told_limit`: points of its window, as it counts them; `used`: the part of its window that is used, 1 is all;
-- `resets_ms`: its window begins anew after so long. Null: it did not say. `words`: the windows
-- that were asked for the request; null: all that the budget has.
--
-- A refusal without a wait pauses for the shortest window, at most ten seconds, twice as long each time it happens again; and what the
-- shortest window allows is halved, or lowered a little where it had just come near the ceiling (multiplicative decrease). Refusals of
-- requests that left before that, or while the budget is paused, do it no second time. A refusal with a wait only lowers it if it is not
-- the first within three windows.
create function syncline.correct_budget(
    budget_key text, sent_at bigint, was_limited boolean, asked_ms bigint, reason text,
    remaining bigint, told_points bigint, used double precision, resets_ms bigint, words text[] default null)
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
        where w.key = budget_key and w.kind in ('rolling', 'fixed') and (words is null or w.word = any (words)) order by w.per_ms limit 1;
        is_repeated := stored.limited_at is not null
            and at < syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + 3 * coalesce(shortest.per_ms, 10000);
        -- Requests that were under way when another one was refused say nothing new, nor do those that left in the pause after it: their
        -- senders had not heard of it.
        if stored.limited_at is null
            or sent_at > syncline.epoch_ms(stored.limited_at) and sent_at >= coalesce(syncline.epoch_ms(stored.paused_until), 0)
        then
            -- In a row: nearly nothing was sent since the last pause.
            stored.limited_in_a_row := case
                when at <= syncline.epoch_ms(greatest(stored.limited_at, stored.paused_until)) + coalesce(shortest.per_ms, 10000)
                then stored.limited_in_a_row + 1 else 1 end;
            if pause_ms is null then
                pause_ms := least(
                    least(greatest(coalesce(shortest.per_ms, 10000), 1000), 10000) * 2 ^ least(stored.limited_in_a_row - 1, 12),
                    greatest(coalesce((select max(w.per_ms) from syncline.budget_window w
                                       where w.key = budget_key and (words is null or w.word = any (words))), 0), 60000),
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
        -- The window with the limit that was told. Else one that can have so much left, within which the reset lies, and of those the one
        -- whose limit is nearest to what was told, else one that the platform resets. Else the longest where a part of it was told; the shortest where points were: what
        -- is wrong there is forgotten first.
        select * into spoken_of from syncline.budget_window w
        where w.key = budget_key and w.kind <> 'concurrent' and (words is null or w.word = any (words))
        order by (w.points_limit is not distinct from told_points) desc,
                 (remaining is null or remaining <= w.points_limit) desc,
                 (resets_ms is null or resets_ms <= w.per_ms + greatest(w.guard_ms, 1000)) desc,
                 case when told_points > 0 then abs(ln(w.points_limit) - ln(told_points)) end,
                 (w.kind = 'fixed') desc,
                 case when resets_ms is null and used is not null then -w.per_ms else w.per_ms end
        limit 1;
        if found and sent_at >= spoken_of.told_at then
            if told_points is not null then
                must_know := must_know or told_points < coalesce(spoken_of.told_limit, spoken_of.points_limit);
                spoken_of.told_limit := case when told_points < spoken_of.points_limit then told_points end;
            end if;
            -- Resets are told in whole seconds: a window that is not much longer is better counted without.
            if spoken_of.kind = 'fixed' and spoken_of.per_ms >= 10000 and resets_ms between 1 and spoken_of.per_ms + spoken_of.guard_ms then
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
              -- What may have left after this request was not in the platform's count. Of a calendar's charges it is not known.
              and (s.slot * spoken_of.slot_ms <= sent_at or spoken_of.kind in ('day', 'month'));
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
comment on function syncline.correct_budget(text, bigint, boolean, bigint, text, bigint, bigint, double precision, bigint, text[]) is
    'Corrects a budget by what the platform told in an answer; answers whether those who hold permits must know.';
