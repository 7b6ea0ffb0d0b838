"""Loaded by Python at its start: makes a scenario's waits short, and writes each to the error output.

Rate limits are the subject of other tests; here it counts that a request is repeated, not when.
"""
import sys
import time

_sleep = time.sleep


def sleep(seconds):
    if seconds >= 0.2:
        print(f"slept {seconds:g} s", file=sys.stderr)
    _sleep(min(seconds, 0.01))


time.sleep = sleep
