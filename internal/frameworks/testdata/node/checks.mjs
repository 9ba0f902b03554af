// What every program here shares: where Redis is, and how a check is told.
import { readFileSync } from 'node:fs';

export const host = process.env.REDIS_HOST;
export const port = Number(process.env.REDIS_PORT);
export const url = `redis://${host}:${port}`;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));


// version tells which package is tried.
export function version(name) {
  let { version } = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url)));
  console.log(`version ${name} ${version}`);
}

// check runs one check and tells how it went. It fails if it throws or takes too long.
export async function check(name, fn, seconds = 15) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([fn(), late]);
    console.log(`ok ${name}`);
  } catch (e) {
    console.log(`not ok ${name}: ${String(e?.message ?? e).replace(/\s+/g, ' ')}`);
  }
  clearTimeout(timer);
}

// equal throws if the two differ as JSON.
export function equal(got, want, what = '') {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what} ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
  }
}

// until waits until the condition holds.
export async function until(what, condition, seconds = 12) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waiting for ${what}`);
    await sleep(20);
  }
}

// done ends the program, whatever is still open.
export const done = () => process.exit(0);

// A library that fails in the background must not end the program: the check will say.
process.on('unhandledRejection', (e) => console.log(`# unhandled: ${String(e).slice(0, 200)}`));
process.on('uncaughtException', (e) => console.log(`# uncaught: ${String(e).slice(0, 200)}`));
