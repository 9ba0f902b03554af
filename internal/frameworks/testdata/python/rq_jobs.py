import subprocess
import sys
from datetime import timedelta

import redis
import rq
from rq import Queue, Retry, Worker
from rq.job import Job

import rq_tasks
from checks import HOST, PORT, URL, check, done, equal, until, version

version('rq', rq.__version__ if hasattr(rq, '__version__') else rq.VERSION)
version('redis-py', redis.__version__)
r = redis.Redis(HOST, PORT)
workers = [subprocess.Popen(
    [sys.executable, '-B', '-c', 'from rq.cli import main; main()', 'worker', '-u', URL, '--with-scheduler', '-q', 'high', 'default', 'low'],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
high, default, low = (Queue(n, connection=r) for n in ('high', 'default', 'low'))


def finished(job):
    until('the job', lambda: job.get_status() == 'finished')
    return job.result


def results():
    equal([finished(j) for j in [q.enqueue(rq_tasks.add, i, 1) for i, q in enumerate((high, default, low, high))]], [1, 2, 3, 4])


def many():
    jobs = default.enqueue_many([Queue.prepare_data(rq_tasks.add, (i, i), job_id='many-%d' % i) for i in range(4)])
    equal([finished(j) for j in jobs], [0, 2, 4, 6])


def retries():
    equal(finished(default.enqueue(rq_tasks.flaky, 'tries', retry=Retry(max=3))), 'third')


def failures():
    j = default.enqueue(rq_tasks.fail, on_failure=rq_tasks.failed)
    until('failure', lambda: j.get_status() == 'failed')
    until('the callback', lambda: r.get('told:' + j.id) == b'no')
    equal(j.id in default.failed_job_registry, True)
    default.failed_job_registry.requeue(j)
    until('failure again', lambda: j.get_status() == 'failed')


def dependencies():
    a = default.enqueue(rq_tasks.note, 'order', 'a')
    b = low.enqueue(rq_tasks.note, 'order', 'b', depends_on=a)
    c = high.enqueue(rq_tasks.note, 'order', 'c', depends_on=[a, b])
    until('the last', lambda: c.get_status() == 'finished')
    equal(r.lrange('order', 0, -1), [b'a', b'b', b'c'])


def scheduled():
    j = default.enqueue_in(timedelta(seconds=1), rq_tasks.add, 5, 5)
    equal(j.id in default.scheduled_job_registry, True)
    equal(finished(j), 10)


def fetched():
    j = Queue('idle', connection=r).enqueue(rq_tasks.add, 1, 1, meta={'k': 'v'}, result_ttl=60)
    got = Job.fetch(j.id, connection=r)
    equal((got.args, got.meta), ((1, 1), {'k': 'v'}))
    equal(len(Job.fetch_many([j.id, 'none'], connection=r)), 2)
    got.meta['k'] = 'w'
    got.save_meta()
    got.cancel()
    equal(got.get_status(refresh=True), 'canceled')


def emptied():
    q = Queue('full', connection=r)
    for i in range(5):
        q.enqueue(rq_tasks.add, i, i)
    equal((len(q), q.count), (5, 5))
    equal(q.empty(), 5)
    q.delete()
    equal('full' in [x.name for x in Queue.all(connection=r)], False)


def known():
    until('both workers', lambda: len(Worker.all(connection=r)) == 2)


def burst():
    q = Queue('burst', connection=r)
    jobs = [q.enqueue(rq_tasks.add, i, i) for i in range(3)]
    rq.SimpleWorker([q], connection=r, name='here').work(burst=True, logging_level='ERROR')
    equal([j.get_status() for j in jobs], ['finished'] * 3)


for name, fn in [('results of three queues', results), ('bulk', many), ('retries', retries), ('failures', failures), ('dependencies', dependencies),
                 ('scheduled', scheduled), ('fetch, meta, cancel', fetched), ('count, empty, delete', emptied), ('workers', known)]:
    check(name, fn)
try:  # a worker sets signal handlers, which only the main thread may
    burst()
    print('ok burst worker')
except Exception as e:
    print('not ok burst worker: ' + ' '.join(str(e).split()))
for w in workers:
    w.terminate()
for w in workers:
    try:
        w.wait(5)
    except subprocess.TimeoutExpired:
        w.kill()
done()
