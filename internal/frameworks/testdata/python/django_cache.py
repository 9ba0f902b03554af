import django
import django_redis
import redis
from django.conf import settings

from checks import URL, check, done, equal, until, version

version('django', django.get_version())
version('django-redis', django_redis.__version__)
version('redis-py', redis.__version__)


def backend(db, prefix, **options):
    return {'BACKEND': 'django_redis.cache.RedisCache', 'LOCATION': '%s/%d' % (URL, db), 'KEY_PREFIX': prefix,
            'OPTIONS': dict({'CLIENT_CLASS': 'django_redis.client.DefaultClient'}, **options)}


settings.configure(
    SECRET_KEY='x', USE_TZ=True, INSTALLED_APPS=['django.contrib.sessions'], SESSION_ENGINE='django.contrib.sessions.backends.cache',
    CACHES={'default': backend(0, ''), 'prefixed': backend(0, 'site'), 'other': backend(1, ''),
            'json': backend(0, 'json', SERIALIZER='django_redis.serializers.json.JSONSerializer'),
            'zlib': backend(0, 'zlib', COMPRESSOR='django_redis.compressors.zlib.ZlibCompressor')})
django.setup()
from django.core.cache import cache, caches  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402

MANY = {'k%d' % i: i for i in range(20)}


def basics():
    cache.set('a', {'b': [1, 2]}, 60)
    equal(cache.get('a'), {'b': [1, 2]})
    equal((cache.add('a', 1), cache.add('new', 1)), (False, True))
    equal((cache.incr('new', 4), cache.decr('new')), (5, 4))
    equal((cache.has_key('new'), cache.delete('new'), cache.get('new', 'none')), (True, True, 'none'))
    equal(cache.get_or_set('made', lambda: 7), 7)


def set_many():
    cache.set_many(MANY, 60)
    equal(cache.get_many(MANY), MANY)


def delete_many():
    for k, v in MANY.items():
        cache.set(k, v)
    equal(cache.delete_many(list(MANY)[:19]), 19)
    equal(cache.get_many(MANY), {'k19': 19})


def expiry():
    cache.set('short', 1, 1)
    equal(cache.ttl('short') <= 1, True)
    cache.touch('short', 100)
    equal(cache.ttl('short') > 50, True)
    cache.persist('short')
    equal(cache.ttl('short'), None)
    cache.expire('short', 1)
    until('expiry', lambda: cache.get('short') is None)


def versions():
    cache.set('v', 'one', version=1)
    cache.incr_version('v')
    equal((cache.get('v'), cache.get('v', version=2)), (None, 'one'))


def locks():
    with cache.lock('door', timeout=5):
        equal(cache.lock('door', timeout=5).acquire(blocking=False), False)
    equal(cache.lock('door', timeout=5).acquire(blocking=False), True)


def patterns():
    c = caches['prefixed']
    for i in range(20):
        c.set('page:%d' % i, i)
    c.set('other', 1)
    equal(len(c.keys('page:*')), 20)
    equal(len(list(c.iter_keys('page:*'))), 20)
    equal(c.delete_pattern('page:*'), 20)
    equal(c.get('other'), 1)


def scanned():
    c = caches['prefixed']
    for i in range(20):
        c.set('scan:%d' % i, i)
    equal(len(list(c.iter_keys('scan:*'))), 20)
    equal(c.delete_pattern('scan:*'), 20)


def databases():
    caches['other'].set('a', 'second database')
    cache.set('a', 'first')
    equal((caches['other'].get('a'), cache.get('a')), ('second database', 'first'))


def cleared():
    c = caches['other']
    c.set('a', 1)
    c.clear()
    equal(c.get('a'), None)


def forms():
    for name in ('json', 'zlib'):
        caches[name].set('a', {'text': 'x' * 1000})
        equal(caches[name].get('a'), {'text': 'x' * 1000})


def sessions():
    s = SessionStore()
    s['user'] = 'ada'
    s.save()
    equal(SessionStore(s.session_key)['user'], 'ada')
    old = s.session_key
    s.cycle_key()
    equal((SessionStore(old).get('user'), SessionStore(s.session_key)['user']), (None, 'ada'))
    s.flush()
    equal(SessionStore(s.session_key or 'none').get('user'), None)


def raw():
    con = django_redis.get_redis_connection('default')
    p = con.pipeline()
    for i in range(10):
        p.set('raw:%d' % i, i)
    equal(p.execute(), [True] * 10)


for name, fn in [('get, set, add, incr', basics), ('set_many and get_many', set_many), ('delete_many', delete_many), ('expiry and touch', expiry),
                 ('versions', versions), ('locks', locks), ('iter_keys and delete_pattern', scanned), ('keys', patterns), ('two databases', databases),
                 ('clear', cleared), ('serializers and compressors', forms), ('sessions', sessions), ('raw pipeline', raw)]:
    check(name, fn)
done()
