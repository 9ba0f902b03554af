"""What every program here shares: where Redis is, and how a check is told."""
import os
import sys
import threading
import time

HOST = os.environ['REDIS_HOST']
PORT = int(os.environ['REDIS_PORT'])
URL = 'redis://%s:%d' % (HOST, PORT)


def version(name, number):
    print('version', name, number, flush=True)


def check(name, fn, seconds=20):
    """Runs one check in a thread, since a library may wait for ever, and tells how it went."""
    outcome = ['nothing after %d s' % seconds]

    def attempt():
        try:
            fn()
            outcome[0] = None
        except BaseException as e:
            outcome[0] = ' '.join(('%s: %s' % (type(e).__name__, e)).split())

    t = threading.Thread(target=attempt, daemon=True)
    t.start()
    t.join(seconds)
    reason = outcome[0]
    print('ok ' + name if reason is None else 'not ok %s: %s' % (name, reason), flush=True)


def equal(got, want):
    if got != want:
        raise AssertionError('%r, not %r' % (got, want))


def until(what, condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('waiting for ' + what)
        time.sleep(0.02)


def done():
    sys.stdout.flush()
    os._exit(0)
