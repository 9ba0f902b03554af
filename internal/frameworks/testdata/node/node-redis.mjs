import { createClient, createClientPool, defineScript } from 'redis';
import { url, version, check, equal, until, sleep, done } from './checks.mjs';

version('redis');
const open = [];
async function client(options = {}) {
  const c = createClient({ url, ...options });
  c.on('error', () => {});
  await c.connect();
  open.push(c);
  return c;
}
const add = defineScript({
  NUMBER_OF_KEYS: 1, SCRIPT: 'return redis.call("incrby", KEYS[1], ARGV[1])',
  parseCommand(parser, key, n) { parser.pushKey(key); parser.push(String(n)); }, transformReply: (x) => x,
});
for (const RESP of [2, 3]) {
  const r = await client({ RESP, scripts: { add } }), p = `${RESP}:`;
  await check(`RESP${RESP}, commands in one turn`, async () => {
    const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? r.get(`${p}k${i - 1}`) : r.set(`${p}k${i}`, String(i)))));
    equal(replies.slice(-2), ['OK', '198']);
  });
  await check(`RESP${RESP}, hashes, sets, sorted sets`, async () => {
    await r.hSet(`${p}h`, { a: '1', b: '2' });
    equal(await r.hGetAll(`${p}h`), { a: '1', b: '2' });
    await r.zAdd(`${p}z`, [{ score: 1.5, value: 'x' }, { score: 2, value: 'y' }]);
    equal(await r.zRangeWithScores(`${p}z`, 0, -1), [{ value: 'x', score: 1.5 }, { value: 'y', score: 2 }]);
    equal(await r.sAdd(`${p}s`, ['a', 'b']), 2);
  });
  await check(`RESP${RESP}, multi`, async () => {
    equal(await r.multi().set(`${p}{t}a`, '1').incr(`${p}{t}a`).exec(), ['OK', 2]);
  });
  await check(`RESP${RESP}, multi on several keys`, async () => {
    equal(await r.multi().set(`${p}ta`, '1').set(`${p}tb`, '2').get(`${p}ta`).exec(), ['OK', 'OK', '1']);
  });
  await check(`RESP${RESP}, execAsPipeline`, async () => {
    equal(await r.multi().set(`${p}pa`, '1').set(`${p}pb`, '2').execAsPipeline(), ['OK', 'OK']);
  });
  await check(`RESP${RESP}, watch`, async () => {
    const c = await client({ RESP });
    await c.watch(`${p}w`);
    await r.set(`${p}w`, '1');
    equal(await c.multi().set(`${p}w`, '2').exec().catch((e) => e.constructor.name), 'WatchError');
  });
  await check(`RESP${RESP}, script`, async () => {
    equal(await r.add(`${p}n`, 5), 5);
    await r.scriptFlush();
    equal(await r.add(`${p}n`, 5), 10);
  });
  await check(`RESP${RESP}, pub/sub`, async () => {
    const c = await client({ RESP }), got = [];
    await c.subscribe(`${p}news`, (m) => got.push(m));
    await c.pSubscribe(`${p}w*`, (m) => got.push(m));
    await c.sSubscribe(`${p}room`, (m) => got.push(m));
    await r.publish(`${p}news`, 'a');
    await r.publish(`${p}weather`, 'b');
    await r.sPublish(`${p}room`, 'c');
    await until('3 messages', () => got.length === 3);
    await c.unsubscribe();
    await c.pUnsubscribe();
    await c.sUnsubscribe();
  });
  await check(`RESP${RESP}, streams`, async () => {
    await r.xGroupCreate(`${p}st`, 'g', '$', { MKSTREAM: true });
    await r.xAdd(`${p}st`, '*', { k: 'v' });
    const got = await r.xReadGroup('g', 'me', { key: `${p}st`, id: '>' });
    equal(got[0].messages[0].message, { k: 'v' });
    const c = await client({ RESP }), next = c.xRead({ key: `${p}st`, id: '$' }, { BLOCK: 5000 });
    await sleep(50);
    await r.xAdd(`${p}st`, '*', { k: 'w' });
    equal((await next)[0].messages[0].message, { k: 'w' });
  });
  await check(`RESP${RESP}, scan iterator`, async () => {
    let n = 0;
    for await (const keys of r.scanIterator({ MATCH: `${p}k*`, COUNT: 10 })) n += keys.length;
    equal(n, 100);
  });
}
const r = open[0];
await check('client-side cache', async () => {
  const c = await client({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' } });
  await r.set('cached', 'a');
  equal(await c.get('cached'), 'a');
  equal(await c.get('cached'), 'a');
  await r.set('cached', 'b');
  await until('the new value', async () => (await c.get('cached')) === 'b', 3);
});
await check('pool', async () => {
  const pool = createClientPool({ url }, { minimum: 1, maximum: 5 });
  pool.on('error', () => {});
  await pool.connect();
  const popped = Promise.all(Array.from({ length: 3 }, (_, i) => pool.execute((c) => c.blPop(`job${i}`, 5))));
  await sleep(50);
  for (let i = 0; i < 3; i++) await r.rPush(`job${i}`, 'x');
  equal((await popped).map((x) => x.element), ['x', 'x', 'x']);
  equal(await pool.multi().incr('pooled').incr('pooled').exec(), [1, 2]);
  pool.destroy();
});
await check('blocking pop of several keys', async () => {
  const c = await client(), got = c.blPop(['q1', 'q2', 'q3', 'q4', 'q5'], 5);
  await sleep(50);
  await r.rPush('q3', 'x');
  equal(await got, { key: 'q3', element: 'x' });
});
await check('functions', async () => {
  await r.functionLoad('#!lua name=lib\nredis.register_function("addto", function(k, a) return redis.call("incrby", k[1], a[1]) end)', { REPLACE: true });
  equal(await r.fCall('addto', { keys: ['fn'], arguments: ['3'] }), 3);
});
await check('pingInterval and client name', async () => {
  const c = await client({ pingInterval: 50, name: 'me' });
  await sleep(200);
  equal(await c.clientGetName(), 'me');
});
await check('abort and errors', async () => {
  await r.set('str', 'x');
  const error = await r.lPush('str', 'y').catch((e) => e.message);
  if (!error.startsWith('WRONGTYPE')) throw new Error(error);
});
await check('info and dbSize', async () => {
  if (!(await r.info()).includes('redis_version')) throw new Error('no version');
  if (!((await r.dbSize()) > 200)) throw new Error('too few keys');
});
open.forEach((c) => c.destroy());
done();
