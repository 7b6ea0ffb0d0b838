// The driver's side of the conversation with `cargo xtask bench-peers`, the same for all peers written for Node:
// one command a line on standard input, one JSON object a line on standard output. See bench/README.md.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

// How long a job may take to be picked up before the measurement is given up.
const PATIENCE_MS = 120_000;

const seenJobs = { handled: 0, firstAt: null };
let latency = null;

// Milliseconds since 1970, to the microsecond.
const now = () => performance.timeOrigin + performance.now();

const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

/** To be called by the handler of every job. */
export function seen(number) {
  if (seenJobs.handled++ === 0) {
    seenJobs.firstAt = now() / 1000;
  }
  if (latency !== null && number < latency.pickedUp.length) {
    latency.pickedUp[number] = performance.now();
  }
}

/** The version of an installed package. */
export function versionOf(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")).version;
}

/**
 * Obeys commands until standard input ends. A peer has `settings`, `version`, `keepsHistory`, and the functions
 * `setUp()`, `enqueue(jobs)`, `send(number)`, `work()` (returns once it works) and `isUnfinished()`.
 */
export async function run(peer) {
  for await (const line of createInterface({ input: process.stdin })) {
    answer(await obey(peer, line.trim().split(/\s+/)));
  }
  process.exit(0);
}

async function obey(peer, [command, ...numbers]) {
  const [first, second] = numbers.map(Number);
  switch (command) {
    case "about":
      return { version: peer.version, settings: peer.settings, keeps_history: peer.keepsHistory };
    case "set-up":
      await peer.setUp();
      return {};
    case "enqueue": {
      const begun = performance.now();
      await peer.enqueue(first);
      return { seconds: (performance.now() - begun) / 1000 };
    }
    case "work":
      report();
      await peer.work();
      return {};
    case "finish":
      while (await peer.isUnfinished()) {
        await sleep(2);
      }
      return { finished_at: now() / 1000 };
    case "latency":
      return { samples_ms: await measureLatency(peer, first, second) };
    default:
      throw new Error(`unknown command ${command}`);
  }
}

// Prints the count whenever it has changed, two hundred times a second at most.
function report() {
  let reported = 0;
  setInterval(() => {
    if (seenJobs.handled !== reported) {
      reported = seenJobs.handled;
      answer({ handled: reported, first_at: seenJobs.firstAt });
    }
  }, 5);
}

// From the moment an insert is sent to the moment its handler starts, at a steady rate, in one process.
async function measureLatency(peer, jobs, perSecond) {
  latency = { sent: Array(jobs + 1).fill(0), pickedUp: Array(jobs + 1).fill(0) };
  await peer.work();
  // Listeners connect, plans are cached; then one job passes through, however late.
  await sleep(1000);
  await send(peer, jobs);
  await waitFor(jobs, jobs + 1);
  const begun = performance.now();
  const sending = [];
  for (let number = 0; number < jobs; number++) {
    await sleep(Math.max(0, begun + (number * 1000) / perSecond - performance.now()));
    sending.push(send(peer, number));
  }
  await Promise.all(sending);
  await waitFor(0, jobs);
  return latency.sent.slice(0, jobs).map((sent, number) => latency.pickedUp[number] - sent);
}

async function send(peer, number) {
  latency.sent[number] = performance.now();
  await peer.send(number);
}

async function waitFor(from, to) {
  const begun = performance.now();
  for (let number = from; number < to; number++) {
    while (latency.pickedUp[number] === 0) {
      if (performance.now() - begun > PATIENCE_MS) {
        throw new Error(`job ${number} was not picked up within ${PATIENCE_MS} ms`);
      }
      await sleep(10);
    }
  }
}
