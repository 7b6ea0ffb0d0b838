"""The driver's side of the conversation with `cargo xtask bench-peers`.

One command a line on standard input, one JSON object a line on standard output. See bench/README.md.
"""

import asyncio
import json
import os
import sys
import time

# Seconds that a job may take to be picked up before the measurement is given up.
PATIENCE = 120


class Seen:
    """What the handlers of this process have seen."""

    def __init__(self):
        self.handled = 0
        self.first_at = None
        self.sent = []
        self.picked_up = []

    def job(self, number):
        """To be called by the handler of every job."""
        if self.handled == 0:
            self.first_at = time.time()
        self.handled += 1
        if number < len(self.picked_up):
            self.picked_up[number] = time.perf_counter()


def answer(value):
    print(json.dumps(value), flush=True)


async def run(peer, seen):
    """Obeys commands until standard input ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *numbers = line.split()
        answer(await obey(peer, seen, command, [int(number) for number in numbers]))
    # Not by returning, which would wait for the worker.
    os._exit(0)


async def obey(peer, seen, command, numbers):
    match command:
        case "about":
            return {
                "version": peer.version,
                "settings": peer.settings,
                "keeps_history": peer.keeps_history,
            }
        case "set-up":
            await peer.set_up()
            return {}
        case "enqueue":
            begun = time.perf_counter()
            await peer.enqueue(*numbers)
            return {"seconds": time.perf_counter() - begun}
        case "work":
            work(peer)
            in_background(report(seen))
            return {}
        case "finish":
            while await peer.is_unfinished():
                await asyncio.sleep(0.002)
            return {"finished_at": time.time()}
        case "latency":
            return {"samples_ms": await measure_latency(peer, seen, *numbers)}
        case _:
            raise ValueError(f"unknown command {command}")


def work(peer):
    def ended(task):
        print("the worker ended:", task.exception(), file=sys.stderr)
        os._exit(1)

    in_background(peer.work()).add_done_callback(ended)


def in_background(coroutine, kept=set()):
    """A task that is kept from being collected."""
    task = asyncio.create_task(coroutine)
    kept.add(task)
    return task


async def report(seen):
    """Prints the count whenever it has changed, two hundred times a second at most."""
    reported = 0
    while True:
        await asyncio.sleep(0.005)
        if seen.handled != reported:
            reported = seen.handled
            answer({"handled": reported, "first_at": seen.first_at})


async def measure_latency(peer, seen, jobs, per_second):
    """From the moment an insert is sent to the moment its handler starts, at a steady rate, in one process."""
    seen.sent = [0.0] * (jobs + 1)
    seen.picked_up = [0.0] * (jobs + 1)
    work(peer)
    # Listeners connect, plans are cached; then one job passes through, however late.
    await asyncio.sleep(1)
    await send(peer, seen, jobs)
    await wait_for(seen, range(jobs, jobs + 1))
    begun = time.perf_counter()
    sending = []
    for number in range(jobs):
        await asyncio.sleep(max(0, begun + number / per_second - time.perf_counter()))
        sending.append(asyncio.create_task(send(peer, seen, number)))
    await asyncio.gather(*sending)
    await wait_for(seen, range(jobs))
    return [(seen.picked_up[n] - seen.sent[n]) * 1000 for n in range(jobs)]


async def send(peer, seen, number):
    seen.sent[number] = time.perf_counter()
    await peer.send(number)


async def wait_for(seen, numbers):
    begun = time.perf_counter()
    for number in numbers:
        while seen.picked_up[number] == 0:
            if time.perf_counter() - begun > PATIENCE:
                raise TimeoutError(f"job {number} was not picked up within {PATIENCE} s")
            await asyncio.sleep(0.01)
