import { RateLimiterRedis, BurstyRateLimiter, RateLimiterUnion, RLWrapperBlackAndWhite } from 'rate-limiter-flexible';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { host, port, url, version, check, equal, until, done } from './checks.mjs';

version('rate-limiter-flexible');
const io = new Redis({ host, port });
io.on('error', () => {});
const node = createClient({ url });
node.on('error', () => {});
await node.connect();

// taken returns how many of n points a key was allowed to consume.
async function taken(limiter, key, n) {
  let allowed = 0;
  for (let i = 0; i < n; i++) await limiter.consume(key).then(() => allowed++, (e) => { if (e instanceof Error) throw e; });
  return allowed;
}
for (const [name, storeClient, more] of [['ioredis', io, {}], ['node-redis', node, { useRedisPackage: true }]]) {
  const limiter = (o) => new RateLimiterRedis({ storeClient, keyPrefix: `${name}-${o.is}`, points: 5, duration: 10, ...more, ...o });
  await check(`${name}, consume`, async () => {
    const l = limiter({ is: 'a' });
    for (const key of ['ada', 'bob', 'eve']) equal(await taken(l, key, 8), 5);
  });
  await check(`${name}, concurrent`, async () => {
    const l = limiter({ is: 'b', points: 10 });
    const all = await Promise.allSettled(Array.from({ length: 30 }, () => l.consume('ip')));
    equal(all.filter((x) => x.status === 'fulfilled').length, 10);
  });
  await check(`${name}, penalty, reward, get, delete`, async () => {
    const l = limiter({ is: 'c' });
    await l.consume('x', 2);
    await l.penalty('x', 2);
    await l.reward('x', 1);
    equal((await l.get('x')).consumedPoints, 3);
    equal(await l.delete('x'), true);
    equal(await l.get('x'), null);
  });
  await check(`${name}, block`, async () => {
    const l = limiter({ is: 'd' });
    await l.block('x', 1);
    equal(await taken(l, 'x', 1), 0);
    await until('the end of the block', async () => (await taken(l, 'x', 1)) === 1, 4);
  });
  await check(`${name}, window ends`, async () => {
    const l = limiter({ is: 'e', duration: 1, points: 1 });
    equal(await taken(l, 'x', 2), 1);
    await until('a new window', async () => (await taken(l, 'x', 1)) === 1, 4);
  });
  await check(`${name}, burst and union`, async () => {
    const l = new BurstyRateLimiter(limiter({ is: 'f', points: 2 }), limiter({ is: 'g', points: 5 }));
    equal(await taken(l, 'x', 10), 7);
    const u = new RateLimiterUnion(limiter({ is: 'h', points: 5 }), limiter({ is: 'i', points: 3 }));
    let allowed = 0;
    for (let i = 0; i < 6; i++) await u.consume('x').then(() => allowed++, () => {});
    equal(allowed, 3);
  });
}
done();
