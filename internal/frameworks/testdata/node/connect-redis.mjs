import http from 'node:http';
import session from 'express-session';
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';
import { url, version, check, equal, until, done } from './checks.mjs';

version('connect-redis');
version('express-session');
const client = createClient({ url });
client.on('error', () => {});
await client.connect();
const store = new RedisStore({ client, ttl: 60 });
const use = session({ store, secret: 'x', resave: false, saveUninitialized: false, rolling: true });

const routes = {
  '/login': (req, done) => { req.session.user = 'ada'; done('in'); },
  '/who': (req, done) => { req.session.n = (req.session.n ?? 0) + 1; done(`${req.session.user} ${req.session.n}`); },
  '/renew': (req, done) => { const user = req.session.user; req.session.regenerate(() => { req.session.user = user; done('renewed'); }); },
  '/out': (req, done) => req.session.destroy(() => done('out')),
};
const server = http.createServer((req, res) => use(req, res, () => routes[req.url](req, (text) => res.end(text))));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

// visitor returns a function that requests a path with one browser's cookie.
function visitor() {
  let cookie = '';
  return async (path) => {
    const res = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie } });
    cookie = res.headers.get('set-cookie')?.split(';')[0] ?? cookie;
    return res.text();
  };
}

await check('login and requests', async () => {
  const get = visitor();
  equal([await get('/login'), await get('/who'), await get('/who')], ['in', 'ada 1', 'ada 2']);
});
await check('twenty visitors', async () => {
  await Promise.all(Array.from({ length: 20 }, async () => {
    const get = visitor();
    await get('/login');
    for (let i = 1; i < 5; i++) equal(await get('/who'), `ada ${i}`);
  }));
});
await check('regenerate', async () => {
  const get = visitor();
  await get('/login');
  await get('/renew');
  equal(await get('/who'), 'ada 1');
});
await check('destroy', async () => {
  const get = visitor();
  await get('/login');
  equal([await get('/out'), await get('/who')], ['out', 'undefined 1']);
});
await check('all, ids, length', async () => {
  const n = (await store.all()).length;
  if (n < 23) throw new Error(`${n} sessions`);
  equal([(await store.ids()).length, await store.length()], [n, n]);
});
await check('touch and expiry', async () => {
  await store.set('short', { cookie: { expires: new Date(Date.now() + 1000), originalMaxAge: 1000 } });
  await until('expiry', async () => !(await store.get('short')), 4);
});
await check('clear', async () => {
  await store.clear();
  equal(await store.length(), 0);
});
done();
