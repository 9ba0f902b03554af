// Checks ioredis with its default options, which make it ask INFO whether the
// server is ready.
'use strict';
const Redis = require('ioredis');
const { run, checkBatch } = require('./check.js');

run(async (port) => {
  const c = new Redis(port);
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
    quit: () => c.quit(),
  };
});
