"""Jobs under kills: "add" enqueues JOBS jobs in four queues, notes each that was accepted, and rescues what a dead worker left;
"work" is a worker."""
import os
import sys
import time

import redis
from rq import Queue, Worker
from rq.job import Job

from checks import HOST, PORT

MISSING = {}  # since when jobs are seen in no queue
NAMES = ['mail', 'sums', 'images', 'reports']


def note(what, name):
    with open(os.environ['NOTES'], 'a') as f:
        f.write('%d %s %s\n' % (time.time() * 1000, what, name))


def job(name):
    note('started', name)
    time.sleep(0.03)
    note('done', name)


def keep_on(f):
    """Calls f until Redis answers."""
    while True:
        try:
            return f()
        except redis.RedisError:
            time.sleep(0.1)


def add():
    r = redis.Redis(HOST, PORT)
    queues = [Queue(n, connection=r) for n in NAMES]

    def enqueue(n):
        name = 'job-%d' % n
        # One MULTI stores and queues the job: if its outcome is unknown, the job says it.
        if not Job.exists(name, connection=r):
            queues[n % 4].enqueue('rq_kills.job', name, job_id=name, job_timeout=5, result_ttl=3600)
        note('added', name)
    for n in range(int(os.environ['JOBS'])):
        keep_on(lambda: enqueue(n))
        time.sleep(0.01)
    while True:  # until the test ends
        for n in range(int(os.environ['JOBS'])):
            keep_on(lambda: rescue(r, queues[n % 4], 'job-%d' % n))
        time.sleep(1)


def rescue(r, queue, name):
    """Puts a job back that is neither done nor in its queue for 20 s: RQ takes jobs with BLPOP, so one whose worker or server dies
    then is in no queue, or in a registry for long."""
    status = r.hget('rq:job:' + name, 'status')
    if status == b'finished' or r.lpos('rq:queue:' + queue.name, name) is not None:
        MISSING.pop(name, None)
    elif time.time() - MISSING.setdefault(name, time.time()) > 20:
        del MISSING[name]
        queue.push_job_id(name)
        note('rescued', name)


def work():
    r = redis.Redis(HOST, PORT)
    Worker(NAMES, connection=r).work(logging_level='ERROR')


if __name__ == '__main__':
    {'add': add, 'work': work}[sys.argv[1]]()
