"""Loaded by Python at its start: makes a scenario's waits short, and writes each to the error output.

Rate limits are the subject of other tests; here it counts that a request is repeated, not when.
"""
import select
import sys
import time


def sleep(seconds):
    if seconds >= 0.2:
        print(f"slept {seconds:g} s", file=sys.stderr)
    # The real one fails where the clock stands still.
    select.select([], [], [], min(seconds, 0.01))


time.sleep = sleep
