"""Jobs under kills: "add" sends JOBS jobs to four queues, notes each that was accepted, and sends those again that a dead worker
had taken and not noted yet; "work" is a worker."""
import json
import os
import sys
import time

import redis
from celery import Celery

from checks import HOST, PORT, URL

MISSING = {}  # since when jobs are seen nowhere
NAMES = ['urgent', 'slow', 'kombu', 'celery']

app = Celery('app', broker=URL + '/0')
app.conf.update(
    broker_transport_options={'visibility_timeout': 5}, worker_prefetch_multiplier=1, task_acks_late=True, task_ignore_result=True,
    worker_hijack_root_logger=False, broker_connection_max_retries=None, broker_connection_retry=True)


def note(what, name):
    with open(os.environ['NOTES'], 'a') as f:
        f.write('%d %s %s\n' % (time.time() * 1000, what, name))


@app.task(name='job')
def job(name):
    note('started', name)
    time.sleep(0.03)
    note('done', name)


def keep_on(f):
    """Calls f until Redis answers."""
    while True:
        try:
            return f()
        except Exception:
            time.sleep(0.1)


def known(r):
    """The jobs that are in a queue, or taken and not acknowledged."""
    texts = [m for n in NAMES for m in r.lrange(n, 0, -1)] + [json.dumps(json.loads(v)[0]).encode() for v in r.hvals('unacked')]
    return {json.loads(t)['headers']['id'] for t in texts}


def done():
    with open(os.environ['NOTES']) as f:
        return {line.split()[2] for line in f if ' done ' in line}


def send(n):
    # The id is the job's name, and one LPUSH sends it: if the outcome is unknown, it is looked for.
    job.apply_async(('job-%d' % n,), task_id='job-%d' % n, queue=NAMES[n % 4], retry=False)


def add():
    r = redis.Redis(HOST, PORT)
    for n in range(int(os.environ['JOBS'])):
        name = 'job-%d' % n

        def enqueue():
            if name not in known(r) and name not in done():
                send(n)
        keep_on(enqueue)
        note('added', name)
        time.sleep(0.01)
    while True:  # until the test ends
        keep_on(lambda: rescue(r))
        time.sleep(1)


def rescue(r):
    """Sends jobs again that are neither done nor known for 20 s: Celery takes them with BRPOP, and notes it in another request."""
    seen = known(r) | done()
    for n in range(int(os.environ['JOBS'])):
        name = 'job-%d' % n
        if name in seen:
            MISSING.pop(name, None)
        elif time.time() - MISSING.setdefault(name, time.time()) > 20:
            del MISSING[name]
            send(n)
            note('rescued', name)


def work():
    app.worker_main(['worker', '--pool=solo', '--loglevel=CRITICAL', '--without-gossip', '--without-mingle', '-Q', ','.join(NAMES), '-n', 'worker%d@test' % os.getpid()])


if __name__ == '__main__':
    open(os.environ['NOTES'], 'a').close()
    {'add': add, 'work': work}[sys.argv[1]]()
