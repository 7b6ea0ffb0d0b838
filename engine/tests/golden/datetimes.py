"""Writes datetimes.json: how airbyte-cdk reads, writes and moves moments, and cuts a cursor's range into slices.

`cargo xtask cdk-goldens` runs this. The result is committed, so that the tests need no Python. A moment is [microseconds since 1970, offset in seconds].
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
from airbyte_cdk.sources.streams.concurrent.cursor import ConcurrentCursor, CursorField
from airbyte_cdk.sources.streams.concurrent.state_converters.datetime_stream_state_converter import (
    CustomFormatConcurrentStreamStateConverter,
)
from airbyte_cdk.sources.types import Record, StreamSlice

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
FORMATS = [
    "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%s", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%ms", "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%_msZ", "%s_as_float", "%epoch_microseconds", "%Y%m%d", "%d/%m/%Y", "modified_on:gt:%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%_ms%z",
    "%m/%d/%y", "%d %b %Y", "%B %d, %Y", "%A, %d %B %Y %I:%M %p", "%a, %d %b %Y %H:%M:%S %Z", "%Y-%j", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S", "%H:%M:%S", "%Y",
    "100%% %Y", "%Y-%m-%d  %H:%M", "%I%p %d.%m.%Y", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f+00:00", "%Y-%m-%d %H:%M:%S%z",
]
TEXTS = [
    "2024-01-31T10:20:30.123456Z", "2024-01-31T10:20:30.1Z", "2024-01-31T10:20:30Z", "2024-01-31", "2024-1-3", "2024-01-31 10:20:30", "2024-01-31T10:20:30+02:00", "2024-01-31T10:20:30+0200",
    "2024-01-31T10:20:30.5-07:30", "2024-01-31T10:20:30.999999999Z", "2024-02-30", "2024-13-01", "1706696430", "1706696430.5", "1706696430123", "-1", " 12 ", "1e5", "", "x", "20240131", "31/01/2024",
    "modified_on:gt:2024-01-31T10:20:30", "MODIFIED_ON:GT:2024-01-31t10:20:30", "01/31/24", "01/31/70", "31 Jan 2024", "31 JAN 2024", "January 31, 2024", "Wednesday, 31 January 2024 10:20 PM",
    "Wed, 31 Jan 2024 10:20:30 GMT", "2024-031", "2024-366", "2023-366", "2024-01-31T10:20", "20240131T102030", "10:20:30", "2024", "100% 2024", "2024-01-31 10:20", "2024-01-31   10:20", "12AM 31.01.2024", "1PM 1.1.2024",
    "2024-01-31T24:00:00Z", "2024-01-31T10:60:30Z", "2024-01-31T10:20:61Z", "2024-01-31T10:20:30.123Z", "2024-01-31T10:20:30.123+00:00", "2024-01-31t10:20:30z", "2024-01-31T10:20:30 Z", "0001-01-01", "9999-12-31",
    "2024-01-31 10:20:30.000001+00:00", "2024-01-31 10:20:30+00:00", "2024-01-31T1:2:3Z", "2024-01-31T10:20:30+05:30:15", "2024-01-31T10:20:30-0000", "2024-01-31T10:20:30Z ", "31/1/2024", "1/01/2024",
    1706696430, 1706696430.75, 1706696430123, 0, -86400, 20240131, 2024, 1706696430123456,
]
MOMENTS = [
    [1706696430123456, 0], [1706696430000000, 0], [0, 0], [-1, 0], [1706696430999999, 7200], [1709164800000000, -27000], [1735689599999000, 0], [951782400000000, 0], [1706738400001001, 19815], [253402300799999999, 0],
]
DURATIONS = ["P1D", "P7D", "P1M", "P1Y", "P1Y2M3DT4H5M6S", "PT1S", "PT0.000001S", "PT0.001S", "P2W", "PT1H30M", "P0.5D", "-P1D", "P13M", "P1M1D", "PT36H"]


def pair(moment):
    return [(moment - EPOCH) // dt.timedelta(microseconds=1), int(moment.utcoffset().total_seconds())]


def moment_of(pair_):
    moment = EPOCH + dt.timedelta(microseconds=pair_[0])
    return moment.astimezone(dt.timezone(dt.timedelta(seconds=pair_[1])))


def reads(parser):
    for pattern, text in itertools.product(FORMATS, TEXTS):
        try:
            yield {"format": pattern, "value": text, "moment": pair(parser.parse(text, pattern))}
        except (ValueError, OverflowError):
            yield {"format": pattern, "value": text, "moment": None}


def writes(parser):
    more = ["%z", "%Z", "%w %u %G-W%V %U %W", "%F %T", "%y %B %b %A %a %j %I %p"]
    for pattern, moment in itertools.product(FORMATS + more, MOMENTS):
        yield {"format": pattern, "moment": moment, "text": parser.format(moment_of(moment), pattern)}


def moves():
    for duration, moment in itertools.product(DURATIONS, MOMENTS[:9]):
        span = parse_duration(duration)
        yield {"duration": duration, "moment": moment, "after": pair(moment_of(moment) + span), "before": pair(moment_of(moment) - span)}


def slices():
    """Ranges of a cursor, with records seen in each slice, and the state after each slice."""
    source = random.Random(7)
    patterns = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d", "%s", "%Y-%m-%dT%H:%M:%S.%fZ", "%ms"]
    # A granularity finer than the format leaves gaps, behind which the reference's state never moves. Ours does.
    steps = {
        "%Y-%m-%d": [(None, None), ("P1D", "P1D"), ("P1M", "P1D"), ("P4D", "P1D")],
        "%s": [(None, None), ("P7D", "PT1S"), ("P1D", "P1D"), ("P1M", "P1D"), ("P3D", "PT1S"), ("P10Y", "PT1S"), ("PT6H", "PT1S")],
        "%ms": [(None, None), ("P7D", "PT1S"), ("PT6H", "PT0.001S"), ("P1M", "PT0.001S")],
    }
    parser = DatetimeParser()
    for number in range(500):
        pattern = source.choice(patterns)
        fine = "%ms" if "%f" in pattern else "%s"
        step, granularity = source.choice(steps.get(pattern, steps[fine]))
        start = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(hours=source.choice([0, 0, 5, 240]))
        end = start + dt.timedelta(seconds=source.choice([-5, 0, 1, 3600, 86400, 7 * 86400, 7 * 86400 - 1, 21 * 86400, 2_000_000]))
        lookback = source.choice([None, None, "P1D", "PT1H", "P1M", "P5D"])
        state = source.choice([None, None, -3 * 86400, 0, 3600, 5 * 86400, 7 * 86400, 30 * 86400])
        strict = source.random() < 0.1
        read_start, read_end = (parser.parse(parser.format(of, pattern), pattern) for of in (start, end))
        stored = {} if state is None else {"at": parser.format(start + dt.timedelta(seconds=state), pattern)}
        converter = CustomFormatConcurrentStreamStateConverter(
            datetime_format=pattern, input_datetime_formats=[], is_sequential_state=True,
            cursor_granularity=parse_duration(granularity) if granularity else None,
        )
        cursor = ConcurrentCursor(
            "s", None, dict(stored), NoopMessageRepository(), ConnectorStateManager(), converter, CursorField("at"), ("start_time", "end_time"),
            read_start, lambda: read_end, parse_duration(lookback) if lookback else None, parse_duration(step) if step else dt.timedelta.max,
            parse_duration(granularity) if granularity else None, is_compare_strictly=strict,
        )
        found = []
        for slice_ in itertools.islice(cursor.stream_slices(), 60):
            records = []
            for _ in range(source.choice([0, 0, 1, 2])):
                base = parser.parse(slice_["start_time"], pattern)
                value = parser.format(base + dt.timedelta(seconds=source.choice([-7200, 0, 1, 1800, 86400])), pattern)
                records.append({"at": int(value) if pattern in ("%s", "%ms") and source.random() < 0.5 else value})
            kept = []
            for record in records:
                kept.append(cursor.should_be_synced(Record(data=record, stream_name="s", associated_slice=slice_)))
                cursor.observe(Record(data=record, stream_name="s", associated_slice=slice_))

            class Closed:
                def to_slice(self):
                    return slice_

            cursor.close_partition(Closed())
            found.append({"slice": dict(slice_), "records": records, "kept": kept, "state": dict(cursor.state)})
        cursor.ensure_at_least_one_state_emitted()
        yield {
            "format": pattern, "start": parser.format(start, pattern), "end": parser.format(end, pattern), "state": stored, "step": step, "granularity": granularity,
            "lookback": lookback, "strict": strict, "slices": found, "final": dict(cursor.state),
        }


def main():
    parser = DatetimeParser()
    tables = {"reads": list(reads(parser)), "writes": list(writes(parser)), "moves": list(moves()), "cursors": list(slices())}
    target = pathlib.Path(__file__).with_name("datetimes.json")
    parts = []
    for name, cases in tables.items():
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        parts.append(json.dumps(name) + ": [\n" + lines + "\n]")
        print(name, len(cases))
    target.write_text("{" + ",\n".join(parts) + "}\n")


main()
