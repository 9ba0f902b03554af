import Keyv from 'keyv';
import KeyvRedis from '@keyv/redis';
import { url, version, check, equal, until, sleep, done } from './checks.mjs';

version('keyv');
version('@keyv/redis');
const open = [];
function store(namespace, options = {}) {
  const k = new Keyv({ store: new KeyvRedis(url, options), namespace, useKeyPrefix: false });
  k.on('error', (e) => console.log(`# ${e.message}`));
  open.push(k);
  return k;
}
const names = Array.from({ length: 20 }, (_, i) => `k${i}`);

await check('get, set, has, delete', async () => {
  const k = store('one');
  equal(await k.set('a', { b: [1, 2] }), true);
  equal(await k.get('a'), { b: [1, 2] });
  equal(await k.has('a'), true);
  equal(await k.delete('a'), true);
  equal(await k.get('a'), undefined);
});
await check('getMany', async () => {
  const k = store('many');
  for (const n of names) await k.set(n, n);
  equal(await k.getMany(['k0', 'k19', 'none']).then((x) => x.map((v) => v ?? null)), ['k0', 'k19', null]);
});
await check('setMany', async () => {
  const k = store('set');
  await k.setMany(names.map((key) => ({ key, value: `v-${key}`, ttl: 60000 })));
  equal(await k.getMany(names), names.map((n) => `v-${n}`));
});
await check('deleteMany', async () => {
  const k = store('del');
  for (const n of names) await k.set(n, n);
  await k.deleteMany(names.slice(0, 19));
  equal((await k.getMany(names)).filter((v) => v !== undefined), ['k19']);
});
await check('hasMany', async () => {
  const k = store('many');
  equal(await k.hasMany(['k0', 'none', 'k7']), [true, false, true]);
});
await check('expiry', async () => {
  const k = store('ttl');
  await k.set('a', 1, 1500);
  equal(await k.get('a'), 1);
  await until('expiry', async () => (await k.get('a')) === undefined, 10);
});
await check('iterator', async () => {
  const k = store('many'), found = [];
  for await (const [key] of k.iterator('many')) found.push(key);
  equal(found.length, 20);
});
await check('clear of one namespace', async () => {
  const a = store('x'), b = store('y');
  for (const n of names) { await a.set(n, 1); await b.set(n, 2); }
  await a.clear();
  equal((await a.getMany(names)).filter((v) => v !== undefined).length, 0);
  equal((await b.getMany(names)).filter((v) => v !== undefined).length, 20);
});
await check('clear with unlink off', async () => {
  const a = store('z', { useUnlink: false });
  for (const n of names) await a.set(n, 1);
  await a.clear();
  equal((await a.getMany(names)).filter((v) => v !== undefined).length, 0);
});
await Promise.race([Promise.allSettled(open.map((k) => k.disconnect())), sleep(2000)]);
done();
