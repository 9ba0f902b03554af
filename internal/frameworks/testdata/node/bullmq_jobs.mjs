// Jobs under kills: "add" adds JOBS jobs to four queues and notes each that was accepted,
// "work" works on them and notes when it starts and ends each.
import { appendFileSync } from 'node:fs';
import { Queue, Worker } from 'bullmq';
import { host, port, sleep } from './checks.mjs';

const connection = { host, port, maxRetriesPerRequest: null };
const note = (what, id) => appendFileSync(process.env.NOTES, `${Date.now()} ${what} ${id}\n`);
const names = ['mail', 'sums', 'images', 'reports'];

if (process.argv[2] === 'add') {
  const queues = names.map((name) => new Queue(name, { connection }));
  queues.forEach((q) => q.on('error', () => {}));
  for (let n = 0; n < Number(process.env.JOBS); n++) {
    const id = `job-${n}`;
    // The same id again adds nothing: an add of unknown outcome may be repeated.
    for (;;) {
      const added = await queues[n % 4].add('job', { id }, { jobId: id }).then(() => true, () => false);
      if (added) break;
      await sleep(100);
    }
    note('added', id);
    await sleep(10);
  }
  process.exit(0);
}
for (const name of names) {
  new Worker(name, async (job) => {
    note('started', job.data.id);
    await sleep(30);
    note('done', job.data.id);
  }, { connection, concurrency: 2, lockDuration: 10000, stalledInterval: 1000, maxStalledCount: 20, runRetryDelay: 300, drainDelay: 1 }).on('error', () => {});
}
