// pg-boss with four workers that fetch and complete a thousand jobs at a time.

import pg from "pg";
import { PgBoss } from "pg-boss";
import { run, seen, versionOf } from "./protocol.mjs";

const QUEUE = "bench";
const WORKERS = 4;
// Jobs in one insert statement.
const CHUNK = 10_000;

const connectionString = process.env.DATABASE_URL;
const pool = new pg.Pool({ connectionString, max: 1 });
const boss = new PgBoss({ connectionString, max: 10, useListenNotify: true });
boss.on("error", (error) => {
  console.error(error);
  process.exit(1);
});

await run({
  version: versionOf("pg-boss"),
  settings: "4 workers, batchSize 1000, burstWhenBatchFull, notify on",
  keepsHistory: true,

  async setUp() {
    await boss.start();
    await boss.createQueue(QUEUE, { notify: true });
  },

  async enqueue(jobs) {
    for (let first = 0; first < jobs; first += CHUNK) {
      const length = Math.min(CHUNK, jobs - first);
      await boss.insert(
        QUEUE,
        Array.from({ length }, (_, i) => ({ data: { number: first + i } })),
      );
    }
  },

  send: (number) => boss.send(QUEUE, { number }),

  async work() {
    await boss.start();
    const options = { batchSize: 1000, localConcurrency: WORKERS, burstWhenBatchFull: true };
    await boss.work(QUEUE, options, async (jobs) => {
      for (const job of jobs) {
        seen(job.data.number);
      }
    });
  },

  async isUnfinished() {
    const query = "select exists (select from pgboss.job where name = $1 and state < 'completed') as found";
    const { rows } = await pool.query(query, [QUEUE]);
    return rows[0].found;
  },
});
