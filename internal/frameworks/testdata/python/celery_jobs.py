import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import celery
import kombu
import redis
from celery import chain, chord, group

from celery_tasks import add, app, fails, flaky, slow, steps, total, urgent
from checks import check, done, equal, until, version

version('celery', celery.__version__)
version('kombu', kombu.__version__)
version('redis-py', redis.__version__)
worker = subprocess.Popen(
    [sys.executable, '-B', '-m', 'celery', '-A', 'celery_tasks', 'worker', '-Q', 'celery,urgent,slow', '-c', '3', '-P', 'threads',
     '-l', 'ERROR', '-n', 'w1@localhost'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def results():
    equal([add.delay(i, i).get(timeout=15) for i in range(10)], [2 * i for i in range(10)])


def queues():
    rs = [urgent.delay(i) for i in range(5)] + [add.delay(i, 1) for i in range(5)]
    equal([r.get(timeout=15) for r in rs], ['urgent %d' % i for i in range(5)] + [i + 1 for i in range(5)])


def priorities():
    equal([add.apply_async((i, 1), priority=p).get(timeout=15) for i, p in enumerate((0, 3, 6, 9))], [1, 2, 3, 4])


def later():
    start = time.monotonic()
    r = add.apply_async((1, 1), countdown=1)
    equal(r.get(timeout=15), 2)
    if time.monotonic() - start < 0.9:
        raise AssertionError('too early')
    equal(add.apply_async((2, 2), eta=datetime.now(timezone.utc) + timedelta(seconds=0.5)).get(timeout=15), 4)


def retries():
    equal(flaky.delay().get(timeout=15), 2)


def failures():
    r = fails.delay()
    until('failure', r.failed)
    equal(repr(r.result), "ValueError('no')")


def states():
    r = steps.delay()
    until('the state', lambda: r.state == 'HALFWAY')
    equal(r.info, {'done': 50})
    equal(r.get(timeout=15), 'done')


def groups():
    equal(group(add.s(i, i) for i in range(8))().get(timeout=15), [2 * i for i in range(8)])


def chords():
    equal(chord([add.s(i, i) for i in range(8)])(total.s()).get(timeout=15), 56)


def chains():
    equal(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=15), 10)


def nested():
    equal(chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(10))().get(timeout=15), 16)


def inspected():
    found = app.control.inspect(timeout=3).ping()
    equal(list(found.values()), [{'ok': 'pong'}])
    if not app.control.inspect(timeout=3).active_queues():
        raise AssertionError('no queues')


def revoked():
    r = add.apply_async((1, 1), countdown=2)
    r.revoke()
    until('revocation', lambda: r.state == 'REVOKED')


def waiting():
    with app.connection_for_write() as c:
        q = c.SimpleQueue('kombu')
        for i in range(5):
            q.put({'n': i})
        equal(q.qsize(), 5)
        got = []
        for _ in range(5):
            m = q.get(timeout=5)
            got.append(m.payload['n'])
            m.ack()
        equal(got, list(range(5)))
        q.close()


def forgotten():
    r = add.delay(1, 1)
    r.get(timeout=15)
    r.forget()
    equal(app.backend.client.exists('celery-task-meta-' + r.id), 0)


def purged():
    slow.apply_async((0,), queue='nobody')
    with app.connection_for_write() as c:
        equal(c.default_channel.queue_purge('nobody'), 1)


for name, fn in [('results', results), ('three queues', queues), ('priorities', priorities), ('countdown and eta', later), ('retries', retries),
                 ('failures', failures), ('states', states), ('group', groups), ('chord', chords), ('chain', chains),
                 ('group, chord and chain together', nested), ('inspect', inspected), ('revoke', revoked),
                 ('kombu SimpleQueue', waiting), ('forget', forgotten), ('purge', purged)]:
    check(name, fn)
worker.terminate()
try:
    worker.wait(10)
    print('ok worker ends')
except subprocess.TimeoutExpired:
    worker.kill()
    print('not ok worker ends: it did not')
done()
