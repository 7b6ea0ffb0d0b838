// graphile-worker with a large local queue and batched completion.

import { Logger, makeWorkerUtils, run as runWorker } from "graphile-worker";
import pg from "pg";
import { run, seen, versionOf } from "./protocol.mjs";

// Jobs in one insert statement.
const CHUNK = 10_000;

// A line for each job would be measured, too.
const logger = new Logger(() => () => {});
const pgPool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const fail = (error) => {
  console.error(error);
  process.exit(1);
};
pgPool.on("error", fail);
pgPool.on("connect", (client) => client.on("error", fail));
const utils = await makeWorkerUtils({ pgPool, logger });

const preset = {
  worker: {
    concurrentJobs: 100,
    localQueue: { size: 5000 },
    completeJobBatchDelay: 5,
    failJobBatchDelay: 5,
  },
};

await run({
  version: versionOf("graphile-worker"),
  settings: "local queue 5000, concurrency 100, completions and failures batched for 5 ms",
  keepsHistory: false,

  setUp: () => utils.migrate(),

  async enqueue(jobs) {
    for (let first = 0; first < jobs; first += CHUNK) {
      const length = Math.min(CHUNK, jobs - first);
      await utils.addJobs(
        Array.from({ length }, (_, i) => ({ identifier: "noop", payload: { number: first + i } })),
      );
    }
  },

  send: (number) => utils.addJob("noop", { number }),

  async work() {
    const taskList = { noop: (payload) => seen(payload.number) };
    const runner = await runWorker({ preset, pgPool, logger, taskList, noHandleSignals: true });
    runner.promise.then(() => fail("the worker ended"), fail);
  },

  async isUnfinished() {
    const { rows } = await pgPool.query("select exists (select from graphile_worker.jobs) as found");
    return rows[0].found;
  },
});
