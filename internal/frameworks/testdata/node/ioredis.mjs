import { Redis } from 'ioredis';
import { host, port, url, version, check, equal, until, sleep, done } from './checks.mjs';

version('ioredis');
const open = [];
const client = (options = {}) => { const c = new Redis({ host, port, ...options }); c.on('error', () => {}); open.push(c); return c; };
const r = client();

await check('pipeline over keys of all kinds', async () => {
  const p = r.pipeline();
  for (let i = 0; i < 100; i++) p.set(`p:${i}`, i).get(`p:${i}`);
  const replies = await p.exec();
  equal(replies.filter(([e]) => e).length, 0);
  equal(replies[199][1], '99');
});
await check('autopipelining', async () => {
  const c = client({ enableAutoPipelining: true });
  equal(await Promise.all(Array.from({ length: 100 }, (_, i) => c.get(`p:${i}`))), Array.from({ length: 100 }, (_, i) => String(i)));
});
await check('mget, mset, del', async () => {
  await r.mset(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`m:${i}`, i])));
  equal(await r.mget('m:0', 'm:49', 'm:none'), ['0', '49', null]);
  equal(await r.del(...Array.from({ length: 50 }, (_, i) => `m:${i}`)), 50);
});
await check('multi on one key', async () => {
  equal(await r.multi().set('t', 1).incr('t').exec(), [[null, 'OK'], [null, 2]]);
});
await check('multi on keys with a hash tag', async () => {
  equal(await r.multi().set('{t}:a', 1).set('{t}:b', 2).mget('{t}:a', '{t}:b').exec(), [[null, 'OK'], [null, 'OK'], [null, ['1', '2']]]);
});
await check('multi on several keys', async () => {
  equal(await r.multi().set('ta', 1).set('tb', 2).incr('tc').exec(), [[null, 'OK'], [null, 'OK'], [null, 1]]);
});
await check('watch', async () => {
  const c = client();
  await c.watch('w');
  await r.set('w', 1);
  equal(await c.multi().set('w', 2).exec(), null);
  await c.watch('w');
  equal(await c.multi().set('w', 2).exec(), [[null, 'OK']]);
});
await check('defineCommand', async () => {
  r.defineCommand('addto', { numberOfKeys: 1, lua: 'return redis.call("incrby", KEYS[1], ARGV[1])' });
  equal(await r.addto('d', 5), 5);
  await r.script('FLUSH');
  equal(await r.addto('d', 5), 10);
});
await check('streams and groups', async () => {
  await r.xgroup('CREATE', 's', 'g', '$', 'MKSTREAM');
  await r.xadd('s', '*', 'k', 'v');
  const [[, [[id]]]] = await r.xreadgroup('GROUP', 'g', 'me', 'COUNT', 1, 'STREAMS', 's', '>');
  equal(await r.xack('s', 'g', id), 1);
});
await check('blocking pop', async () => {
  const c = client(), got = c.blpop('q', 5);
  await sleep(50);
  await r.rpush('q', 'job');
  equal(await got, ['q', 'job']);
});
await check('blocking pop of several keys', async () => {
  const c = client(), got = c.brpop('q1', 'q2', 'q3', 'q4', 'q5', 5);
  await sleep(50);
  await r.rpush('q4', 'job');
  equal(await got, ['q4', 'job']);
});
await check('pub/sub with duplicate', async () => {
  const c = r.duplicate(), got = [];
  open.push(c);
  c.on('message', (channel, message) => got.push(`${channel} ${message}`));
  c.on('pmessage', (pattern, channel, message) => got.push(`${pattern} ${channel} ${message}`));
  await c.subscribe('news', 'sport');
  await c.psubscribe('w*');
  equal([await r.publish('news', 1), await r.publish('sport', 2), await r.publish('weather', 3)], [1, 1, 1]);
  await until('3 messages', () => got.length === 3);
  await c.unsubscribe('news', 'sport');
});
await check('sharded pub/sub', async () => {
  const c = client(), got = [];
  c.on('smessage', (channel, message) => got.push(message));
  await c.ssubscribe('room');
  equal(await r.spublish('room', 'hi'), 1);
  await until('the message', () => got.length === 1);
});
await check('scan streams', async () => {
  let keys = new Set();
  for await (const batch of r.scanStream({ match: 'p:*', count: 20 })) batch.forEach((k) => keys.add(k));
  equal(keys.size, 100);
  await r.hset('h', Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, i])));
  let fields = 0;
  for await (const batch of r.hscanStream('h')) fields += batch.length / 2;
  equal(fields, 50);
});
await check('lazyConnect and keyPrefix', async () => {
  const c = client({ lazyConnect: true, keyPrefix: 'pre:' });
  await c.connect();
  await c.set('k', 1);
  equal(await r.get('pre:k'), '1');
});
await check('connection name', async () => {
  equal(await client({ connectionName: 'me' }).client('GETNAME'), 'me');
});
await check('buffers', async () => {
  const b = Buffer.from([0, 255, 13, 10]);
  await r.set('bin', b);
  equal((await r.getBuffer('bin')).equals(b), true);
});
await check('transformers and errors', async () => {
  await r.hmset('o', { a: 1, b: 2 });
  equal(await r.hgetall('o'), { a: '1', b: '2' });
  const error = await r.lpush('o', 1).catch((e) => e.message);
  if (!error.startsWith('WRONGTYPE')) throw new Error(error);
});
await check('quit with requests under way', async () => {
  const c = client(), replies = Promise.all(Array.from({ length: 10 }, () => c.incr('n')));
  equal(await c.quit(), 'OK');
  equal((await replies)[9], 10);
});
await check('url', async () => {
  const c = new Redis(url);
  equal(await c.ping(), 'PONG');
  await c.quit();
});
open.forEach((c) => c.disconnect());
done();
