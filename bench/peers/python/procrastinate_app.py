"""The application and its one task, in a module of their own, as procrastinate wants it."""

import os

import procrastinate
import protocol

seen = protocol.Seen()
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=12)
)


@app.task(name="noop")
async def noop(number):
    seen.job(number)
