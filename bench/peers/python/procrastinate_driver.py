"""procrastinate with ten jobs at a time."""

import asyncio
from importlib.metadata import version

import protocol
from procrastinate_app import app, noop, seen

# Jobs in one insert statement.
CHUNK = 1000


class Procrastinate:
    version = version("procrastinate")
    settings = "concurrency 10"
    keeps_history = True

    async def set_up(self):
        await app.schema_manager.apply_schema_async()

    async def enqueue(self, jobs):
        for first in range(0, jobs, CHUNK):
            numbers = range(first, min(first + CHUNK, jobs))
            await noop.batch_defer_async(*({"number": number} for number in numbers))

    async def send(self, number):
        await noop.defer_async(number=number)

    async def work(self):
        await app.run_worker_async(concurrency=10, install_signal_handlers=False)

    async def is_unfinished(self):
        query = "select exists (select from procrastinate_jobs where status <> 'succeeded') as found"
        row = await app.connector.execute_query_one_async(query)
        return row["found"]


async def main():
    async with app.open_async():
        await protocol.run(Procrastinate(), seen)


asyncio.run(main())
