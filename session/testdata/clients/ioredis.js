// Checks ioredis with its default options, which make it ask INFO whether the
// server is ready.
'use strict';
const Redis = require('ioredis');
const { run, checkBatch, tls } = require('./check.js');

run(async (port) => {
  const c = new Redis(tls ? { port, tls } : port);
  c.on('error', (err) => { throw err; });
  return {
    do: (name, ...args) => c.call(name, ...args),
    batch: async (n) => {
      const pipeline = c.pipeline();
      for (let i = 0; i < n; i++) pipeline.get('p' + i);
      checkBatch((await pipeline.exec()).map(([err, value]) => { if (err) throw err; return value; }));
    },
    setBytes: (key, bytes) => c.set(key, bytes),
    getBytes: (key) => c.getBuffer(key),
    transaction: async (key, value) => (await c.multi().set(key, value).get(key).exec()).map(([err, reply]) => { if (err) throw err; return reply; }),
    message: (channel) => new Promise((resolve) => {
      const other = c.duplicate();
      other.on('message', (_, text) => { other.disconnect(); resolve(text); });
      other.subscribe(channel);
    }),
    pop: async (key) => {
      const other = c.duplicate();
      const [, value] = await other.blpop(key, 0);
      other.disconnect();
      return value;
    },
    quit: () => c.quit(),
  };
});
