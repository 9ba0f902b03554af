import Queue from 'bull';
import { host, port, version, check, equal, until, sleep, done } from './checks.mjs';

version('bull');
const open = [];
function queue(name, options = {}) {
  const q = new Queue(name, { redis: { host, port }, settings: { stalledInterval: 500, guardInterval: 300, retryProcessDelay: 200 }, ...options });
  q.on('error', () => {});
  open.push(q);
  return q;
}

await check('add and process', async () => {
  const q = queue('mail'), seen = new Set();
  q.process(4, async (job) => seen.add(job.data.n));
  queue('mail').process(4, async (job) => seen.add(job.data.n));
  for (let n = 0; n < 20; n++) await q.add({ n });
  await q.addBulk(Array.from({ length: 30 }, (_, i) => ({ data: { n: 20 + i } })));
  await until('50 jobs', () => seen.size === 50);
  await until('50 completed', async () => (await q.getCompletedCount()) === 50);
});
await check('result and progress', async () => {
  const q = queue('sums'), told = [];
  q.on('global:progress', (id, n) => told.push(n));
  q.process(async (job) => (await job.progress(50), job.data.a + job.data.b));
  await q.isReady();
  equal(await (await q.add({ a: 2, b: 3 })).finished(), 5);
  await until('progress', () => told.length >= 1);
});
await check('delayed', async () => {
  const q = queue('later'), after = {}, start = Date.now();
  q.process(async (job) => (after[job.data.ms] = Date.now() - start));
  for (const ms of [600, 300, 900]) await q.add({ ms }, { delay: ms });
  await until('3 jobs', () => Object.keys(after).length === 3);
  for (const ms of [300, 600, 900]) if (after[ms] < ms) throw new Error(`${ms} came after ${after[ms]}`);
});
await check('priorities', async () => {
  const q = queue('ranks'), order = [];
  for (const priority of [5, 1, 3]) await q.add({ priority }, { priority });
  q.process(async (job) => order.push(job.data.priority));
  await until('3 jobs', () => order.length === 3);
  equal(order, [1, 3, 5]);
});
await check('named jobs and retries', async () => {
  const q = queue('flaky');
  let tries = 0;
  q.process('x', async () => { if (++tries < 3) throw new Error('again'); });
  const job = await q.add('x', {}, { attempts: 3, backoff: 50 });
  await until('the third try', async () => (await job.getState()) === 'completed');
  equal(tries, 3);
});
await check('failed jobs and retry', async () => {
  const q = queue('broken');
  let broken = true;
  q.process(async () => { if (broken) throw new Error('no'); });
  const job = await q.add({});
  await until('failure', async () => (await job.getState()) === 'failed');
  broken = false;
  await job.retry();
  await until('completion', async () => (await job.getState()) === 'completed');
});
await check('repeated', async () => {
  const q = queue('cron');
  let n = 0;
  q.process(async () => n++);
  await q.add({}, { repeat: { every: 200 } });
  await until('3 runs', () => n >= 3);
  // A run that ends now may plan the next one once more.
  await until('the end', async () => {
    for (const { key } of await q.getRepeatableJobs()) await q.removeRepeatableByKey(key);
    return (await q.getRepeatableCount()) === 0;
  });
});
await check('rate limit', async () => {
  const q = queue('slow', { limiter: { max: 2, duration: 500 } }), at = [];
  await q.addBulk(Array.from({ length: 4 }, () => ({ data: {} })));
  q.process(async () => at.push(Date.now()));
  await until('4 jobs', () => at.length === 4);
  if (at[3] - at[0] < 400) throw new Error(`the fourth after ${at[3] - at[0]} ms`);
});
await check('pause and resume', async () => {
  const q = queue('still');
  let n = 0;
  q.process(async () => n++);
  await q.isReady();
  await q.pause();
  await q.add({});
  await sleep(200);
  equal(n, 0);
  await q.resume();
  await until('the job', () => n === 1);
});
await check('counts and clean', async () => {
  const q = queue('bin');
  await q.addBulk(Array.from({ length: 5 }, () => ({ data: {} })));
  await q.add({}, { delay: 100000 });
  const counts = await q.getJobCounts();
  equal([counts.waiting, counts.delayed], [5, 1]);
  equal((await q.getJobs(['waiting'])).length, 5);
  equal((await q.clean(0, 'wait')).length, 5);
  equal((await q.clean(0, 'delayed')).length, 1);
});
await check('empty', async () => {
  const q = queue('full');
  await q.addBulk(Array.from({ length: 5 }, () => ({ data: {} })));
  await q.empty();
  equal(await q.count(), 0);
});
await check('obliterate', async () => {
  const q = queue('gone');
  await q.add({});
  await q.obliterate({ force: true });
  equal(await q.count(), 0);
});
await check('remove by pattern', async () => {
  const q = queue('names');
  await q.add({}, { jobId: 'a-1' });
  await q.add({}, { jobId: 'a-2' });
  await q.add({}, { jobId: 'b-1' });
  await q.removeJobs('a-*');
  equal((await q.getWaiting()).map((j) => j.id), ['b-1']);
});
await Promise.race([Promise.allSettled(open.map((x) => x.close())), sleep(3000)]);
done();
