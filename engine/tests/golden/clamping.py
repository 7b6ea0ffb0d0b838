"""Writes clamping.json: how airbyte-cdk cuts a cursor's range into slices of whole days, weeks and months.

    pip install airbyte-cdk==7.39.1
    TZ=UTC python engine/tests/golden/clamping.py

The result is committed, so that the tests need no Python. Each case has the first 40 slices.
"""
import datetime as dt
import itertools
import json
import pathlib
import random

from isodate import parse_duration

from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.declarative.datetime.datetime_parser import DatetimeParser
from airbyte_cdk.sources.message import NoopMessageRepository
from airbyte_cdk.sources.streams.concurrent.clamping import ClampingEndProvider, DayClampingStrategy, MonthClampingStrategy, Weekday, WeekClampingStrategy
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor, CursorField
from airbyte_cdk.sources.streams.concurrent.state_converters.datetime_stream_state_converter import CustomFormatConcurrentStreamStateConverter

# The unit that the factory takes where the manifest names none.
UNITS = {"DAY": dt.timedelta(seconds=1), "WEEK": dt.timedelta(days=1), "MONTH": dt.timedelta(days=1)}


def strategy(target, weekday, up):
    if target == "DAY":
        return DayClampingStrategy(is_ceiling=up)
    return WeekClampingStrategy(Weekday[weekday], is_ceiling=up) if target == "WEEK" else MonthClampingStrategy(is_ceiling=up)


def cases():
    source = random.Random(11)
    parser = DatetimeParser()
    for number in range(400):
        pattern = source.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"])
        coarse = [(None, None), ("P1D", "P1D"), ("P7D", "P1D"), ("P1M", "P1D"), ("P10D", "P1D")]
        step, granularity = source.choice(coarse if pattern == "%Y-%m-%d" else [(None, None), ("P7D", "PT1S"), ("P1D", "PT1S"), ("P1M", "PT1S"), ("PT6H", "PT1S"), ("P10D", "P1D")])
        target = source.choice(["DAY", "WEEK", "MONTH"])
        weekday = source.choice([day.name for day in Weekday]) if target == "WEEK" else None
        start = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(hours=source.choice([0, 0, 5, 240, 24 * 30 + 7]))
        end = start + dt.timedelta(seconds=source.choice([-5, 0, 86400, 7 * 86400 - 1, 21 * 86400, 2_000_000, 40 * 86400 + 11, 90 * 86400, 150 * 86400 + 5000]))
        lookback = source.choice([None, None, None, "P1D", "P5D"])
        state = source.choice([None, None, -3 * 86400, 0, 3600, 5 * 86400, 30 * 86400 + 3600])
        strict = source.random() < 0.1
        read_start, read_end = (parser.parse(parser.format(of, pattern), pattern) for of in (start, end))
        stored = {} if state is None else {"at": parser.format(start + dt.timedelta(seconds=state), pattern)}
        unit = parse_duration(granularity) if granularity else None
        converter = CustomFormatConcurrentStreamStateConverter(datetime_format=pattern, input_datetime_formats=[], is_sequential_state=True, cursor_granularity=unit)
        ends = ClampingEndProvider(strategy(target, weekday, False), lambda: read_end, granularity=unit or UNITS[target])
        cursor = ConcurrentCursor(
            "s", None, dict(stored), NoopMessageRepository(), ConnectorStateManager(), converter, CursorField("at"), ("start_time", "end_time"), read_start, ends,
            parse_duration(lookback) if lookback else None, parse_duration(step) if step else dt.timedelta.max, unit, clamping_strategy=strategy(target, weekday, True), is_compare_strictly=strict,
        )
        yield {
            "format": pattern, "start": parser.format(start, pattern), "end": parser.format(end, pattern), "state": stored, "step": step, "granularity": granularity, "lookback": lookback, "strict": strict,
            "clamping": {"target": target, **({"target_details": {"weekday": weekday}} if weekday else {})}, "slices": [dict(one) for one in itertools.islice(cursor.stream_slices(), 40)],
        }


TABLE = list(cases())
pathlib.Path(__file__).with_name("clamping.json").write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in TABLE) + "\n]\n")
print(len(TABLE), sum(len(case["slices"]) for case in TABLE), sum(not case["slices"] for case in TABLE))
