import Queue from 'bee-queue';
import { host, port, version, check, equal, until, sleep, done } from './checks.mjs';

version('bee-queue');
const open = [];
function queue(name, settings = {}) {
  const q = new Queue(name, { redis: { host, port }, stallInterval: 500, activateDelayedJobs: true, delayedDebounce: 100, ...settings });
  q.on('error', () => {});
  open.push(q);
  return q;
}

await check('concurrency 3', async () => {
  const q = queue('mail'), seen = new Set();
  q.process(3, async (job) => seen.add(job.data.n));
  for (let n = 0; n < 40; n++) await q.createJob({ n }).save();
  await until('40 jobs', () => seen.size === 40);
});
await check('saveAll', async () => {
  const q = queue('bulk');
  let n = 0;
  q.process(async () => n++);
  const errors = await q.saveAll(Array.from({ length: 20 }, () => q.createJob({})));
  equal(errors.size, 0);
  await until('20 jobs', () => n === 20);
});
await check('result and progress', async () => {
  const q = queue('sums'), told = [];
  await q.ready();
  q.process(async (job) => (await sleep(50), job.reportProgress(50), await sleep(50), job.data.a + job.data.b));
  const job = q.createJob({ a: 2, b: 3 });
  const result = new Promise((resolve) => job.on('succeeded', resolve));
  job.on('progress', (n) => told.push(n));
  await job.save();
  equal(await result, 5);
  equal(told, [50]);
});
await check('retries', async () => {
  const q = queue('flaky');
  let tries = 0;
  q.process(async () => { if (++tries < 3) throw new Error('again'); });
  await q.createJob({}).retries(3).backoff('fixed', 50).save();
  await until('the third try', () => tries === 3);
});
await check('delayed', async () => {
  const q = queue('later'), after = {}, start = Date.now();
  q.process(async (job) => (after[job.data.ms] = Date.now() - start));
  for (const ms of [900, 300, 600]) await q.createJob({ ms }).delayUntil(start + ms).save();
  await until('3 jobs', () => Object.keys(after).length === 3);
  for (const ms of [300, 600, 900]) if (after[ms] < ms) throw new Error(`${ms} came after ${after[ms]}`);
});
await check('stalled job', async () => {
  const q = queue('stalls');
  await q.createJob({}).setId('one').save();
  const left = queue('stalls', { stallInterval: 300 });
  left.process(() => new Promise(() => {}));
  await until('the job is taken', async () => (await q.checkHealth()).active === 1);
  await left.close(1).catch(() => {});
  let n = 0;
  const next = queue('stalls', { stallInterval: 300 });
  next.process(async () => n++);
  const timer = setInterval(() => next.checkStalledJobs(), 300);
  await until('the job again', () => n === 1);
  clearInterval(timer);
});
await check('a worker that leaves takes no job along', async () => {
  const q = queue('leave');
  const left = queue('leave');
  left.process(3, async () => {});
  await left.ready();
  await sleep(200);
  await left.close(1000);
  let n = 0;
  for (let i = 0; i < 10; i++) await q.createJob({}).save();
  await sleep(200);
  equal((await q.checkHealth()).waiting, 10);
  queue('leave').process(3, async () => n++);
  await until('10 jobs', () => n === 10);
});
await check('jobs, health, removal', async () => {
  const q = queue('bin');
  for (let i = 0; i < 5; i++) await q.createJob({}).setId(`j${i}`).save();
  equal((await q.checkHealth()).waiting, 5);
  equal((await q.getJobs('waiting', { start: 0, end: 10 })).length, 5);
  await q.removeJob('j0');
  equal((await q.checkHealth()).waiting, 4);
  await q.destroy();
});
await Promise.race([Promise.allSettled(open.map((x) => x.close(1000))), sleep(3000)]);
done();
