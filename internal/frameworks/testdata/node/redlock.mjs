import Redlock from 'redlock';
import { Redis } from 'ioredis';
import { host, port, version, check, equal, sleep, done } from './checks.mjs';

version('redlock');
const client = () => { const c = new Redis({ host, port }); c.on('error', () => {}); return c; };
const redis = client();
const locks = (options = {}) => { const r = new Redlock([client()], { retryCount: 0, ...options }); r.on('clientError', () => {}); return r; };

await check('one holder', async () => {
  const a = await locks().lock('lock:a', 5000);
  equal(await locks().lock('lock:a', 5000).then(() => 'held twice', () => 'refused'), 'refused');
  await a.unlock();
  await (await locks().lock('lock:a', 5000)).unlock();
});
await check('extend', async () => {
  const a = await locks().lock('lock:b', 1000);
  const b = await a.extend(5000);
  await sleep(1100);
  equal(await locks().lock('lock:b', 500).then(() => 'held twice', () => 'refused'), 'refused');
  await b.unlock();
});
await check('lock runs out', async () => {
  await locks().lock('lock:c', 2000);
  await (await locks({ retryCount: 200, retryDelay: 50 }).lock('lock:c', 1000)).unlock();
});
await check('contention', async () => {
  let inside = 0, most = 0, runs = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    const l = locks({ retryCount: 400, retryDelay: 20, retryJitter: 20 });
    const held = await l.lock('lock:d', 5000);
    most = Math.max(most, ++inside);
    await sleep(20);
    inside--, runs++;
    await held.unlock();
  }));
  equal([most, runs], [1, 8]);
});
await check('several resources', async () => {
  const a = await locks().lock(['lock:x', 'lock:y', 'lock:z'], 5000);
  equal(await redis.exists('lock:x', 'lock:y', 'lock:z'), 3);
  equal(await locks().lock(['lock:z', 'lock:w'], 5000).then(() => 'held twice', () => 'refused'), 'refused');
  await a.unlock();
  equal(await redis.exists('lock:x', 'lock:y', 'lock:z'), 0);
});
done();
