import resque from 'node-resque';
import { host, port, version, check, equal, until, sleep, done } from './checks.mjs';

version('node-resque');
const { Queue, Worker, Scheduler } = resque;
const connection = () => ({ pkg: 'ioredis', host, port, database: 0, namespace: 'resque', options: {} });
const open = [], seen = [];
let fail = true;
const jobs = {
  add: { plugins: [], perform: async (a, b) => (seen.push(a + b), a + b) },
  fails: { plugins: [], perform: async () => { if (fail) throw new Error('no'); seen.push('mended'); } },
  once: { plugins: ['QueueLock'], pluginOptions: { QueueLock: {} }, perform: async () => seen.push('once') },
  retried: { plugins: ['Retry'], pluginOptions: { Retry: { retryLimit: 3, retryDelay: 100 } }, perform: async () => { seen.push('try'); throw new Error('again'); } },
};
async function connected(thing) {
  thing.on('error', () => {});
  await thing.connect();
  open.push(thing);
  return thing;
}
const start = async (thing) => ((await thing.start()), thing);
let queue, workers;

await check('workers on three queues', async () => {
  queue = await connected(new Queue({ connection: connection() }, jobs));
  for (let i = 0; i < 2; i++) await start(await connected(new Worker({ connection: connection(), queues: ['high', 'low', 'mail'], timeout: 50, name: `host-${i}:1` }, jobs)));
  for (let i = 0; i < 30; i++) await queue.enqueue(['high', 'low', 'mail'][i % 3], 'add', [i, 0]);
  await until('30 jobs', () => seen.length === 30);
  equal((await queue.queues()).sort(), ['high', 'low', 'mail']);
});
await check('scheduler with enqueueIn and enqueueAt', async () => {
  const scheduler = await start(await connected(new Scheduler({ connection: connection(), timeout: 50 }, jobs)));
  await until('a leader', async () => Boolean(await queue.leader()));
  await queue.enqueueIn(1000, 'low', 'add', [1000, 1]);
  await queue.enqueueAt(Date.now() + 2000, 'low', 'add', [2000, 1]);
  await until('both', () => seen.includes(1001) && seen.includes(2001));
});
await check('delayed jobs can be listed and deleted', async () => {
  await queue.enqueueIn(100000, 'low', 'add', [7, 7]);
  equal(Object.keys(await queue.allDelayed()).length, 1);
  equal((await queue.delDelayed('low', 'add', [7, 7])).length, 1);
});
await check('failed jobs can be retried', async () => {
  await queue.enqueue('low', 'fails', []);
  await until('failure', async () => (await queue.failedCount()) === 1);
  fail = false;
  const [failed] = await queue.failed(0, 10);
  await queue.retryAndRemoveFailed(failed);
  await until('mended', () => seen.includes('mended'));
  equal(await queue.failedCount(), 0);
});
await check('a locked job is queued once', async () => {
  equal(await queue.enqueue('sleeps', 'once', []), true);
  equal(await queue.enqueue('sleeps', 'once', []), false);
  equal(await queue.length('sleeps'), 1);
});
await check('retry plugin', async () => {
  await queue.enqueue('low', 'retried', []);
  await until('the second try', () => seen.filter((x) => x === 'try').length >= 2);
});
await check('statistics and workers', async () => {
  const stats = await queue.stats();
  if (!(Number(stats.processed) >= 32)) throw new Error(`processed: ${stats.processed}`);
  equal(Object.keys(await queue.workers()).length, 2);
  await queue.del('sleeps', 'once', []);
  await queue.delQueue('sleeps');
});
await Promise.race([Promise.allSettled(open.map((x) => x.end())), sleep(3000)]);
done();
