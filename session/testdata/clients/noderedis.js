// Checks node-redis with its default options, or with RESP2 if PROTOCOL is 2.
'use strict';
const redis = require('redis');
const { run, checkBatch, tls } = require('./check.js');

run(async (port) => {
  const options = {
    url: (tls ? 'rediss' : 'redis') + '://127.0.0.1:' + port,
    // On a busy machine the default, 5 s, is too short for thousands of requests at once.
    commandOptions: { timeout: 60000 },
    socket: { connectTimeout: 60000, ...(tls && { tls: true, ...tls }) },
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
    transaction: (key, value) => c.multi().set(key, value).get(key).exec(),
    message: async (channel) => {
      const other = await c.duplicate().connect();
      const text = await new Promise((resolve) => { other.subscribe(channel, resolve); });
      await other.unsubscribe(channel);
      await other.close();
      return text;
    },
    pop: async (key) => {
      const other = await c.duplicate().connect();
      const { element } = await other.blPop(key, 0);
      await other.close();
      return element;
    },
    quit: () => c.close(),
  };
});
