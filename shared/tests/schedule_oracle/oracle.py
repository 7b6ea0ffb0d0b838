"""When crons are due, found out in another way, to check the Rust code against.

It is a person with a calendar who looks at a wall clock every minute of UTC and writes down what it shows. Zones are
Python's zoneinfo; what a field matches is croniter's word (its handling of zones is not used, README.md says why). Nothing is
computed from offsets or transitions:

- the clock shows a later minute than the one expected: minutes were skipped. If one of them matches, the cron is due now;
- the clock shows a minute that it has shown before: it is a repeat, and the cron is not due;
- but if the cron matches in the hours of all minutes that were skipped or are repeated, of the minute before them and of the
  minute after them, it runs on: skipped minutes are forgotten, repeated ones count.

Usage: oracle.py goldens | oracle.py triples COUNT SEED

Output, one group a zone and cron:  = zone | cron
  then one line a question:  instant | next, next, next (seconds after the instant) | span | moments in (instant, instant + span]
"""

import calendar
import datetime as dt
import functools
import multiprocessing
import random
import sys
import zoneinfo

from croniter import croniter

EPOCH = dt.datetime(1970, 1, 1)
DAY = 86400
MINUTE = dt.timedelta(minutes=1)
# Nobody waits longer for the next moment than 29 February on a given weekday does around 2100.
PATIENCE_DAYS = 41 * 366

ASKED_FOR = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "UTC",
]
# Changes at odd times, by odd amounts, at midnight, of a whole day.
ODD = [
    "Africa/Casablanca",
    "America/Havana",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Tehran",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
]


class Cron:
    """Fields as croniter reads them. `text` is as Syncline reads them: seconds first, 5L for croniter's L5."""

    def __init__(self, minute, hour, day="*", month="*", weekday="*", second=None):
        both = weekday.startswith("+")
        self.text = " ".join(([second] if second else []) + [minute, hour, day, month, weekday])
        if both:
            weekday = weekday[1:]
        if weekday.endswith("L"):
            weekday = "L" + weekday[:-1]
        times = croniter.expand(f"{minute} {hour} * {month} * {second or '0'}")[0]
        self.minutes = self.members(times[0], 60)
        self.hours = self.members(times[1], 24)
        self.months = self.members(times[3], 13)
        self.seconds = self.members(times[5], 60)
        self.days = (day, weekday, not both)

    @staticmethod
    def members(values, end):
        return frozenset(range(end)) if values == ["*"] else frozenset(values)

    def on_day(self, date):
        return date.month in self.months and day_matches(self.days, date)

    def at_minute(self, local):
        return local.minute in self.minutes and local.hour in self.hours and self.on_day(local.date())


@functools.cache
def day_matches(days, date):
    day, weekday, either = days
    if (day, weekday) == ("*", "*"):
        return True
    # croniter joins day and weekday for plain numbers only, so it is asked about one at a time.
    if day == "LW":
        on_day = is_last_working_day(date)
    elif day.endswith("W") and int(day[:-1]) > calendar.monthrange(date.year, date.month)[1]:
        on_day = False  # as 30 alone: croniter takes the month's last day in its place
    else:
        on_day = date in matching_days(f"{day} * *", date.year)
    on_weekday = date in matching_days(f"* * {weekday}", date.year)
    if "*" in (day, weekday) or not either:
        return on_day and on_weekday
    return on_day or on_weekday


def is_last_working_day(date):
    """LW, which croniter does not know."""
    later = date + dt.timedelta(days=1)
    while later.month == date.month and later.weekday() > 4:
        later += dt.timedelta(days=1)
    return later.month != date.month and date.weekday() <= 4


@functools.cache
def matching_days(fields, year):
    """croniter's days of a year, asked for one after another: its `match` searches for milliseconds."""
    start = dt.datetime(year - 1, 12, 31, 23, 59)
    walk = croniter(f"0 0 {fields}", start, ret_type=dt.datetime)
    found = set()
    while (at := walk.get_next()).year == year:
        found.add(at.date())
    return found


@functools.cache
def zone_of(name):
    return zoneinfo.ZoneInfo(name)


def shown(zone, minute):
    """What the wall clock shows at a minute of UTC, counted from 1970."""
    return dt.datetime.fromtimestamp(minute * 60, zone_of(zone)).replace(tzinfo=None, fold=0)


@functools.cache
def offset(zone, minute):
    return int((shown(zone, minute) - EPOCH).total_seconds()) - minute * 60


@functools.cache
def plain_offset(zone, day):
    """The offset of a day of UTC if the clock has not jumped on it and on the two days before."""
    offsets = {offset(zone, hour * 60) for hour in range((day - 2) * 24, (day + 1) * 24 + 1)}
    return offsets.pop() if len(offsets) == 1 else None


@functools.cache
def watched(zone, day):
    """The minutes of a day of UTC: (minute, shown, hours of the repeat it belongs to or None, skipped minutes, their hours)."""
    seen = []
    minute = (day - 2) * 1440
    latest = before = shown(zone, minute)
    repeat_hours, repeat_until = None, None
    while minute < (day + 1) * 1440 - 1:
        minute += 1
        now = shown(zone, minute)
        skipped, skipped_hours = [], None
        if now > before + MINUTE:
            at = before + MINUTE
            while at < now:
                skipped.append(at)
                at += MINUTE
            skipped_hours = frozenset(at.hour for at in [before, *skipped, now])
        elif now < before + MINUTE:
            repeat_until = before + MINUTE
            at, hours = now - MINUTE, set()
            while at <= repeat_until:
                hours.add(at.hour)
                at += MINUTE
            repeat_hours = frozenset(hours)
        if repeat_until is not None and now >= repeat_until:
            repeat_hours, repeat_until = None, None
        is_repeat = now <= latest
        assert is_repeat == (repeat_hours is not None)
        latest = max(latest, now)
        if minute >= day * 1440:
            seen.append((minute, now, repeat_hours, skipped, skipped_hours))
        before = now
    return seen


def moments_of_day(cron, zone, day):
    plain = plain_offset(zone, day)
    if plain is not None:
        start = EPOCH + dt.timedelta(seconds=day * DAY + plain)
        for date in (start.date(), start.date() + dt.timedelta(days=1)):
            if not cron.on_day(date):
                continue
            base = int((dt.datetime.combine(date, dt.time()) - EPOCH).total_seconds()) - plain
            for hour in sorted(cron.hours):
                hour_start = base + hour * 3600
                if hour_start + 3600 <= day * DAY or hour_start >= (day + 1) * DAY:
                    continue
                for minute in sorted(cron.minutes):
                    for second in sorted(cron.seconds):
                        at = hour_start + minute * 60 + second
                        if day * DAY <= at < (day + 1) * DAY:
                            yield at
        return
    for minute, now, repeat_hours, skipped, skipped_hours in watched(zone, day):
        is_due = cron.at_minute(now)
        if repeat_hours is not None and not repeat_hours <= cron.hours:
            is_due = False
        makes_up = (
            bool(skipped)
            and not skipped_hours <= cron.hours
            and any(cron.at_minute(at) for at in skipped)
        )
        seconds = set(cron.seconds) if is_due else set()
        if makes_up:
            seconds.add(0)
        for second in sorted(seconds):
            yield minute * 60 + second


def moments_after(cron, zone, instant):
    first = instant // DAY
    for day in range(first, first + PATIENCE_DAYS):
        for at in moments_of_day(cron, zone, day):
            if at > instant:
                yield at


def answer(cron, zone, instant):
    """One line of output."""
    span = 5400 if len(cron.seconds) > 6 else 7200 if len(cron.minutes) * len(cron.seconds) > 60 else 2 * DAY
    found, count = [], 0
    for at in moments_after(cron, zone, instant):
        if len(found) < 3:
            found.append(at - instant)
        if at <= instant + span:
            count += 1
        elif len(found) == 3:
            break
    return f"{instant} | {' '.join(map(str, found))} | {span} | {count}"


@functools.cache
def changes(zone, first_year, last_year):
    """Minutes of UTC at which the clock jumps."""
    found = []
    minute = int((dt.datetime(first_year, 1, 1) - EPOCH).total_seconds()) // 60
    end = int((dt.datetime(last_year + 1, 1, 1) - EPOCH).total_seconds()) // 60
    while minute < end:
        if offset(zone, minute) != offset(zone, minute + 1440):
            low, high = minute, minute + 1440
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle) == offset(zone, low):
                    low = middle
                else:
                    high = middle
            found.append(high)
        minute += 1440
    return found


# What stands or falls with a change of the clock.
TELLING = [
    Cron("0", "0"),
    Cron("30", "0"),
    Cron("45", "1"),
    Cron("0", "2"),
    Cron("15", "2"),
    Cron("30", "2"),
    Cron("0", "3"),
    Cron("30", "23"),
    Cron("0", "*"),
    Cron("5", "*"),
    Cron("*/15", "*"),
    Cron("*", "*"),
    Cron("*", "*", second="*/10"),
    Cron("*/15", "0-6"),
    Cron("0", "1-5"),
    Cron("10,40", "1,2,3"),
    Cron("0", "*/2"),
    Cron("0", "1-23/2"),
    Cron("*/20", "2"),
    Cron("*", "1-2"),
    Cron("0", "22-23,0-1"),
    Cron("30", "2", second="15"),
    Cron("*/30", "2-3", second="30"),
    Cron("30", "2", weekday="SUN"),
    Cron("0", "0", weekday="MON-FRI"),
    Cron("15", "2", day="L"),
    Cron("0", "9-17", weekday="1-5"),
]

SECONDS = ["0", "*/10", "*/7", "30", "5,35", "*", "59", "10-20/5"]
MINUTES = ["0", "30", "59", "*", "*/5", "*/15", "*/7", "0,30", "10-20", "5-55/10", "15,45", "1"]
HOURS = ["*", "*/2", "*/3", "0", "1", "2", "3", "23", "0-6", "1-3", "1,3", "9-17", "2,14", "0-23", "22-23,0-2", "1-23/2", "12"]
DAYS = ["*", "1", "15", "28", "29", "30", "31", "1,15", "10-20", "*/5", "L", "15W", "1W", "30W", "LW"]
MONTHS = ["*", "1", "2", "3", "10", "MAR,OCT", "*/3", "4-9", "2,11", "JUN-AUG"]
WEEKDAYS = ["*", "0", "7", "1-5", "SAT,SUN", "MON", "5L", "0L", "1#2", "0#5", "FRI#1", "2-4", "*/2"]


def any_cron(chance):
    def one(of, plain):
        return chance.choice(of) if chance.random() < 0.5 else plain

    while True:
        day, weekday = one(DAYS, "*"), one(WEEKDAYS, "*")
        is_plain = not set("LW#") & set(day + weekday)
        if day != "*" and weekday != "*" and is_plain and chance.random() < 0.3:
            weekday = "+" + weekday
        month = chance.choice(MONTHS) if chance.random() < 0.2 and not weekday.startswith("+") else "*"
        # What never matches is refused.
        if day[:2] in ("30", "31") and month in ("2", "2,11"):
            continue
        second = chance.choice(SECONDS) if chance.random() < 0.25 else None
        return Cron(chance.choice(MINUTES), chance.choice(HOURS), day, month, weekday, second)


def any_instant(chance, zone):
    jumps = changes(zone, 1972, 2037)
    if jumps and chance.random() < 0.6:
        near = chance.choice([3600, 4 * 3600, 36 * 3600])
        return chance.choice(jumps) * 60 + chance.randint(-near, near)
    return chance.randint(2 * 365 * DAY, 120 * 365 * DAY)


def triples(arguments):
    count, seed = arguments
    chance = random.Random(seed)
    lines = []
    for _ in range(count // 10):
        zone = chance.choice(ASKED_FOR if chance.random() < 0.75 else ODD)
        cron = chance.choice(TELLING) if chance.random() < 0.3 else any_cron(chance)
        lines.append(f"= {zone} | {cron.text}")
        lines.extend(answer(cron, zone, any_instant(chance, zone)) for _ in range(10))
    return lines


def goldens():
    years = {"America/Sao_Paulo": (2016, 2018), "Asia/Kathmandu": (1985, 1986), "Pacific/Apia": (2011, 2011)}
    for zone in ASKED_FOR + ODD:
        first, last = years.get(zone, (2026, 2026))
        jumps = changes(zone, first, last) or [int((dt.datetime(2026, 3, 29) - EPOCH).total_seconds()) // 60]
        for cron in TELLING:
            print(f"= {zone} | {cron.text}")
            for jump in jumps[:4]:
                for distance in (-13 * 3600 - 1, -1, 0, 2700):
                    print(answer(cron, zone, jump * 60 + distance))
    for line in triples((1500, 1)):
        print(line)


def main():
    if sys.argv[1] == "goldens":
        goldens()
        return
    count, seed = int(sys.argv[2]), int(sys.argv[3])
    parts = 20
    with multiprocessing.Pool(2) as pool:
        for lines in pool.imap(triples, [(count // parts, seed * 1000 + part) for part in range(parts)]):
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
