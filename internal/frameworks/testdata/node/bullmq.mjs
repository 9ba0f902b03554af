import { Queue, Worker, QueueEvents, FlowProducer } from 'bullmq';
import { Redis } from 'ioredis';
import { host, port, version, check, equal, until, sleep, done } from './checks.mjs';

version('bullmq');
const connection = { host, port, maxRetriesPerRequest: null };
const redis = new Redis(connection);
const open = [];
const make = (thing) => (open.push(thing), thing.on('error', () => {}), thing);
const queue = (name) => make(new Queue(name, { connection }));
const worker = (name, fn, options = {}) => make(new Worker(name, fn, { connection, drainDelay: 1, ...options }));

await check('add and process', async () => {
  const q = queue('mail'), seen = new Set();
  for (let i = 0; i < 3; i++) worker('mail', async (job) => seen.add(job.data.n), { concurrency: 4 });
  for (let n = 0; n < 20; n++) await q.add('send', { n });
  await q.addBulk(Array.from({ length: 30 }, (_, i) => ({ name: 'send', data: { n: 20 + i } })));
  await until('50 jobs', () => seen.size === 50);
  await until('50 completed', async () => (await q.getCompletedCount()) === 50);
});
await check('results and events', async () => {
  const q = queue('sums'), events = make(new QueueEvents('sums', { connection }));
  await events.waitUntilReady();
  const told = [];
  events.on('completed', ({ returnvalue }) => told.push(returnvalue));
  events.on('progress', ({ data }) => told.push(`progress ${data}`));
  worker('sums', async (job) => (await job.updateProgress(50), await job.log('half'), job.data.a + job.data.b));
  const job = await q.add('sum', { a: 2, b: 3 });
  equal(await job.waitUntilFinished(events, 8000), 5);
  await until('both events', () => told.length >= 2);
  equal((await q.getJobLogs(job.id)).logs, ['half']);
});
await check('delayed', async () => {
  const q = queue('later'), after = {}, start = Date.now();
  worker('later', async (job) => (after[job.data.ms] = Date.now() - start));
  for (const ms of [600, 300, 900]) await q.add('x', { ms }, { delay: ms });
  await until('3 jobs', () => Object.keys(after).length === 3);
  for (const ms of [300, 600, 900]) if (after[ms] < ms) throw new Error(`${ms} came after ${after[ms]}`);
});
await check('priorities', async () => {
  const q = queue('ranks'), order = [];
  for (const priority of [5, 1, 3]) await q.add('x', { priority }, { priority });
  equal((await q.getCountsPerPriority([1, 3, 5])), { 1: 1, 3: 1, 5: 1 });
  worker('ranks', async (job) => order.push(job.data.priority));
  await until('3 jobs', () => order.length === 3);
  equal(order, [1, 3, 5]);
});
await check('retries with backoff', async () => {
  const q = queue('flaky');
  let tries = 0;
  worker('flaky', async (job) => { if (++tries < 3) throw new Error('again'); return tries; });
  const job = await q.add('x', {}, { attempts: 3, backoff: { type: 'fixed', delay: 50 } });
  await until('the third try', async () => (await job.getState()) === 'completed');
  equal(tries, 3);
});
await check('failed jobs and retry', async () => {
  const q = queue('broken');
  let broken = true;
  worker('broken', async () => { if (broken) throw new Error('no'); });
  const job = await q.add('x', {});
  await until('failure', async () => (await job.getState()) === 'failed');
  broken = false;
  await job.retry();
  await until('completion', async () => (await job.getState()) === 'completed');
});
await check('scheduler', async () => {
  const q = queue('cron');
  let n = 0;
  worker('cron', async () => n++);
  await q.upsertJobScheduler('each', { every: 200 }, { name: 'tick' });
  await until('3 ticks', () => n >= 3);
  equal((await q.getJobSchedulers()).length, 1);
  equal(await q.removeJobScheduler('each'), true);
});
await check('flow over three queues', async () => {
  const flow = make(new FlowProducer({ connection })), parents = [];
  worker('parts', async (job) => job.data.n * 2);
  worker('other-parts', async (job) => job.data.n * 3);
  worker('whole', async (job) => parents.push(Object.values(await job.getChildrenValues()).sort()));
  await flow.add({ name: 'all', queueName: 'whole', children: [
    { name: 'part', queueName: 'parts', data: { n: 1 } },
    { name: 'part', queueName: 'parts', data: { n: 2 } },
    { name: 'part', queueName: 'other-parts', data: { n: 3 } },
  ] });
  await until('the parent', () => parents.length === 1);
  equal(parents[0], [2, 4, 9]);
});
await check('deduplication', async () => {
  const q = queue('once');
  await q.add('x', {}, { deduplication: { id: 'a', ttl: 5000 } });
  await q.add('x', {}, { deduplication: { id: 'a', ttl: 5000 } });
  await q.add('x', {}, { jobId: 'same' });
  await q.add('x', {}, { jobId: 'same' });
  equal(await q.getWaitingCount(), 2);
});
await check('rate limit', async () => {
  const q = queue('slow'), at = [];
  await q.addBulk(Array.from({ length: 4 }, () => ({ name: 'x', data: {} })));
  worker('slow', async () => at.push(Date.now()), { limiter: { max: 2, duration: 500 } });
  await until('4 jobs', () => at.length === 4);
  if (at[3] - at[0] < 400) throw new Error(`the fourth after ${at[3] - at[0]} ms`);
});
await check('pause and resume', async () => {
  const q = queue('still'), seen = [];
  worker('still', async (job) => seen.push(job.id));
  await q.pause();
  equal(await q.isPaused(), true);
  await q.add('x', {});
  await sleep(200);
  equal(seen.length, 0);
  await q.resume();
  await until('the job', () => seen.length === 1);
});
await check('stalled job', async () => {
  const q = queue('stalls');
  await q.add('x', {});
  const dead = new Worker('stalls', null, { connection });
  dead.on('error', () => {});
  await dead.getNextJob('token', { block: false });
  const job = (await q.getActive())[0];
  await redis.del(`bull:stalls:${job.id}:lock`);
  let seen = 0;
  worker('stalls', async () => seen++, { stalledInterval: 200, maxStalledCount: 2 });
  await until('the job', () => seen === 1);
  await dead.close();
});
await check('counts, drain, clean, obliterate', async () => {
  const q = queue('bin');
  await q.addBulk(Array.from({ length: 5 }, () => ({ name: 'x', data: {} })));
  await q.add('x', {}, { delay: 100000 });
  equal(await q.getJobCounts('waiting', 'delayed'), { waiting: 5, delayed: 1 });
  equal((await q.getJobs(['waiting'])).length, 5);
  await q.drain(true);
  equal(await q.count(), 0);
  await q.add('x', {});
  await q.clean(0, 10, 'wait');
  await q.obliterate({ force: true });
  equal(await redis.exists('bull:bin:meta'), 0);
  equal(await redis.exists('bull:bin:id'), 0);
});
await check('clients and versions', async () => {
  const q = queue('mail');
  await until('the workers', async () => (await q.getWorkersCount()) >= 1, 5);
});
await Promise.race([Promise.allSettled(open.map((x) => x.close())), sleep(3000)]);
done();
