// Checks node-redis with its default options, or with RESP2 if PROTOCOL is 2.
'use strict';
const redis = require('redis');
const { run, checkBatch } = require('./check.js');

run(async (port) => {
  const options = {
    url: 'redis://127.0.0.1:' + port,
    // On a busy machine the default, 5 s, is too short for thousands of requests at once.
    commandOptions: { timeout: 60000 },
    socket: { connectTimeout: 60000 },
  };
  if (process.env.PROTOCOL === '2') options.RESP = 2;
  const c = redis.createClient(options);
  c.on('error', (err) => { throw err; });
  await c.connect();
  return {
    do: (...args) => c.sendCommand(args),
    batch: async (n) => {
      const batch = c.multi();
      for (let i = 0; i < n; i++) batch.get('p' + i);
      checkBatch(await batch.execAsPipeline());
    },
    setBytes: (key, bytes) => c.set(key, bytes),
    getBytes: (key) => c.withTypeMapping({ [redis.RESP_TYPES.BLOB_STRING]: Buffer }).get(key),
    quit: () => c.close(),
  };
});
