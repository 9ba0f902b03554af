import { Cacheable } from 'cacheable';
import KeyvRedis, { Keyv } from '@keyv/redis';
import { url, version, check, equal, until, sleep, done } from './checks.mjs';

version('cacheable');
const open = [];
function cache(options = {}) {
  const secondary = new Keyv({ store: new KeyvRedis(url), namespace: options.namespace, useKeyPrefix: false });
  const c = new Cacheable({ secondary, nonBlocking: false, ...options });
  c.on('error', (e) => console.log(`# ${e.message}`));
  open.push(c);
  return c;
}
const names = Array.from({ length: 20 }, (_, i) => `c${i}`);

await check('get and set over two instances', async () => {
  const a = cache(), b = cache();
  equal(await a.set('k', { v: 1 }), true);
  equal(await b.get('k'), { v: 1 });
});
await check('setMany and getMany', async () => {
  const a = cache(), b = cache();
  await a.setMany(names.map((key) => ({ key, value: key })));
  equal(await b.getMany(names), names);
});
await check('deleteMany', async () => {
  const a = cache(), b = cache();
  await a.deleteMany(names.slice(0, 19));
  equal((await b.getMany(names)).filter((v) => v !== undefined), ['c19']);
});
await check('take and has', async () => {
  const a = cache(), b = cache();
  await a.set('once', 'x');
  equal(await b.has('once'), true);
  equal(await b.take('once'), 'x');
  equal(await cache().get('once'), undefined);
});
await check('expiry', async () => {
  await cache().set('short', 1, 200);
  equal(await cache().get('short'), 1);
  await until('expiry', async () => (await cache().get('short')) === undefined, 4);
});
await check('wrap and getOrSet', async () => {
  let calls = 0;
  const f = cache().wrap(async (n) => (calls++, n * 2), { ttl: '1h', keyPrefix: 'double' });
  equal([await f(2), await f(2), calls], [4, 4, 1]);
  equal(await cache().getOrSet('made', async () => 'new'), 'new');
  equal(await cache().getOrSet('made', async () => 'newer'), 'new');
});
await check('clear', async () => {
  const a = cache({ namespace: 'n1' });
  await a.set('a', 1);
  await a.clear();
  equal(await cache({ namespace: 'n1' }).get('a'), undefined);
});
await Promise.race([Promise.allSettled(open.map((c) => c.disconnect())), sleep(2000)]);
done();
