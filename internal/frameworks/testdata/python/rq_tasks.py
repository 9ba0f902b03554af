"""The jobs of rq_jobs.py."""
import os

import redis

FAILS = redis.Redis(os.environ['REDIS_HOST'], int(os.environ['REDIS_PORT']))


def add(a, b):
    return a + b


def fail():
    raise ValueError('no')


def flaky(name):
    if FAILS.incr(name) < 3:
        raise ValueError('again')
    return 'third'


def note(name, value):
    FAILS.rpush(name, value)


def failed(job, connection, kind, value, trace):
    FAILS.set('told:' + job.id, str(value))
