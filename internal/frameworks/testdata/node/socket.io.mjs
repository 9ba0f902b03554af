import http from 'node:http';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { createClient } from 'redis';
import { Redis } from 'ioredis';
import { host, port, url, version, check, equal, until, sleep, done } from './checks.mjs';

version('socket.io');
version('@socket.io/redis-adapter');
version('@socket.io/redis-streams-adapter');
async function nodeRedis() {
  const c = createClient({ url });
  c.on('error', () => {});
  await c.connect();
  return c;
}
async function ioredis() {
  const c = new Redis({ host, port });
  c.on('error', () => {});
  return c;
}
const adapters = {
  'pub/sub, node-redis': async () => createAdapter(await nodeRedis(), await nodeRedis()),
  'pub/sub, ioredis': async () => createAdapter(await ioredis(), await ioredis()),
  'sharded, node-redis': async () => createShardedAdapter(await nodeRedis(), await nodeRedis()),
  'sharded, ioredis': async () => createShardedAdapter(await ioredis(), await ioredis()),
  'streams, node-redis': async () => createStreamsAdapter(await nodeRedis()),
  'streams, ioredis': async () => createStreamsAdapter(await ioredis()),
};

// serve starts a server with two clients, each in the room of its number.
async function serve(adapter) {
  const server = new Server(http.createServer(), { adapter: await adapter() });
  server.httpServer.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.httpServer.once('listening', resolve));
  server.on('connection', (socket) => {
    socket.on('join', (room, told) => { socket.join(room); told(); });
    socket.on('shout', (text) => server.emit('heard', text));
  });
  const clients = [];
  for (let i = 0; i < 2; i++) {
    const c = io(`http://127.0.0.1:${server.httpServer.address().port}`, { transports: ['websocket'] });
    c.got = [];
    c.onAny((event, ...args) => { const told = args.at(-1); c.got.push(args[0]); if (typeof told === 'function') told('yes'); });
    await new Promise((resolve) => c.once('connect', resolve));
    await c.emitWithAck('join', `room${i}`);
    clients.push(c);
  }
  return { server, clients };
}

for (const [name, adapter] of Object.entries(adapters)) {
  let one, two;
  await check(`${name}, two servers`, async () => {
    one = await serve(adapter);
    two = await serve(adapter);
    await until('both servers', async () => (await one.server.fetchSockets().catch(() => [])).length === 4);
  });
  const all = () => [...one.clients, ...two.clients];
  await check(`${name}, broadcast in both directions`, async () => {
    for (let i = 0; i < 20; i++) { one.server.emit('n', `a${i}`); two.server.emit('n', `b${i}`); }
    await until('40 events each', () => all().every((c) => c.got.length === 40));
    all().forEach((c) => { equal(c.got.filter((x) => x[0] === 'a').length, 20); c.got.length = 0; });
  });
  await check(`${name}, rooms`, async () => {
    one.server.to('room1').emit('n', 'hi');
    await until('two events', () => one.clients[1].got.length === 1 && two.clients[1].got.length === 1);
    await sleep(100);
    equal([one.clients[0].got.length, two.clients[0].got.length], [0, 0]);
    all().forEach((c) => (c.got.length = 0));
  });
  await check(`${name}, acknowledgements`, async () => {
    equal(await one.server.timeout(5000).emitWithAck('q', 'ready?'), ['yes', 'yes', 'yes', 'yes']);
  });
  await check(`${name}, join, leave, disconnect from afar`, async () => {
    one.server.socketsJoin('everyone');
    await until('the room', async () => (await two.server.in('everyone').fetchSockets()).length === 4);
    one.server.socketsLeave('everyone');
    await until('nobody', async () => (await two.server.in('everyone').fetchSockets()).length === 0);
    one.server.in('room0').disconnectSockets();
    await until('two left', async () => (await two.server.fetchSockets()).length === 2);
  });
  await check(`${name}, servers among each other`, async () => {
    const told = [];
    two.server.on('hello', (text, answer) => { told.push(text); answer?.('there'); });
    one.server.serverSideEmit('hello', 'you');
    await until('the event', () => told.length === 1);
    if (!name.startsWith('streams')) equal(await one.server.serverSideEmitWithAck('hello', 'again'), ['there']);
  });
  for (const s of [one, two]) if (s) { s.clients.forEach((c) => c.close()); s.server.close(); }
}
done();
