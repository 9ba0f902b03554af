// What the scripts of all JavaScript clients do: node <client>.js PORT
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');

// tls has the options of TLS if the environment has CA, the file that the server is to be trusted by: CERT and KEY are
// the client's, TLS_VERSION the only version. Without CA it is undefined.
const file = (name) => process.env[name] && fs.readFileSync(process.env[name]);
exports.tls = process.env.CA && {
  ca: file('CA'), cert: file('CERT'), key: file('KEY'), minVersion: process.env.TLS_VERSION, maxVersion: process.env.TLS_VERSION,
};

// run checks a client that the functions of a script wrap, and ends the process
// with 0 if all is right.
exports.run = async function run(connect) {
  const port = Number(process.argv[2]);
  let c = await connect(port);

  assert.strictEqual(await c.do('SET', 'a', '1'), 'OK');
  assert.strictEqual(await c.do('GET', 'a'), '1');
  assert.strictEqual(await c.do('GET', 'none'), null);
  assert.strictEqual(await c.do('MSET', 'a', '1', 'b', '2', 'c', '3', 'd', '4'), 'OK');
  assert.deepStrictEqual(await c.do('MGET', 'a', 'none', 'd', 'b', 'c'), ['1', null, '4', '2', '3']);
  assert.strictEqual(await c.do('INCR', 'n'), 1);
  assert.strictEqual(await c.do('INCRBY', 'n', '41'), 42);
  assert.strictEqual(await c.do('EXPIRE', 'n', '100'), 1);
  assert.ok((await c.do('TTL', 'n')) > 90);
  assert.strictEqual(await c.do('HSET', 'h', 'f', '1', 'g', '2'), 2);
  assert.strictEqual(await c.do('HGET', 'h', 'g'), '2');
  assert.strictEqual(await c.do('RPUSH', 'l', 'x', 'y', 'z'), 3);
  assert.deepStrictEqual(await c.do('LRANGE', 'l', '0', '-1'), ['x', 'y', 'z']);
  assert.strictEqual(await c.do('ZADD', 'z', '1', 'one', '2.5', 'two'), 2);
  assert.deepStrictEqual(await c.do('ZRANGE', 'z', '0', '-1'), ['one', 'two']);
  assert.strictEqual(await c.do('DEL', 'a', 'b', 'c', 'd', 'none'), 4);

  await assert.rejects(c.do('LPUSH', 'h', 'x'), /WRONGTYPE/);
  await assert.rejects(c.do('NOSUCH', 'x'), /unknown command/);

  const n = Number(process.env.REQUESTS || 10000);
  const pending = [];
  for (let i = 0; i < n; i++) {
    pending.push(c.do('SET', 'p' + i, 'value of ' + i), c.do('GET', 'p' + i));
  }
  const replies = await Promise.all(pending);
  for (let i = 0; i < n; i++) {
    assert.strictEqual(replies[2 * i], 'OK');
    assert.strictEqual(replies[2 * i + 1], 'value of ' + i);
  }
  await c.batch(n);

  const bytes = Buffer.alloc(1 << 20);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7919) >> 3;
  await c.setBytes('bytes', bytes);
  assert.ok(bytes.equals(await c.getBytes('bytes')));

  assert.deepStrictEqual(await c.transaction('tx', '1'), ['OK', '1']);
  const message = c.message('news');
  while (await c.do('PUBLISH', 'news', 'hello') === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.strictEqual(await message, 'hello');
  const popped = c.pop('jobs');
  await c.do('RPUSH', 'jobs', 'job');
  assert.strictEqual(await popped, 'job');

  await c.quit();
  c = await connect(port);
  assert.strictEqual(await c.do('GET', 'p7'), 'value of 7');
  await c.quit();
};

exports.checkBatch = function checkBatch(results) {
  results.forEach((value, i) => assert.strictEqual(value, 'value of ' + i));
};
