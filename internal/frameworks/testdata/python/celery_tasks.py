"""The application of celery.py: its tasks, and where its workers leave traces."""
import os
import time

from celery import Celery

from checks import URL

app = Celery('app', broker=URL + '/0', backend=URL + '/0')
app.conf.update(
    broker_connection_retry_on_startup=True, worker_hijack_root_logger=False, result_expires=3600, task_track_started=True,
    broker_transport_options={'visibility_timeout': 60}, task_default_queue='celery', worker_prefetch_multiplier=1,
    task_routes={'tasks.urgent': {'queue': 'urgent'}, 'tasks.slow': {'queue': 'slow'}}, result_extended=True)


@app.task(name='tasks.add')
def add(a, b):
    return a + b


@app.task(name='tasks.total')
def total(numbers):
    return sum(numbers)


@app.task(name='tasks.urgent')
def urgent(n):
    return 'urgent %d' % n


@app.task(name='tasks.slow')
def slow(seconds):
    time.sleep(seconds)
    return 'slow'


@app.task(name='tasks.flaky', bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(name='tasks.fails')
def fails():
    raise ValueError('no')


@app.task(name='tasks.steps', bind=True)
def steps(self):
    self.update_state(state='HALFWAY', meta={'done': 50})
    time.sleep(1)
    return 'done'
