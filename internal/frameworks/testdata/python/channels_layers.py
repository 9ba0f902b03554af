import asyncio
import subprocess
import sys

import channels_redis
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from checks import URL, check, done, equal, version

HOSTS = [URL]
OTHER = '''
import asyncio, sys
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
async def main():
    layer = {'core': RedisChannelLayer, 'pubsub': RedisPubSubChannelLayer}[sys.argv[1]](hosts=[%r])
    channel = await layer.new_channel()
    for g in sys.argv[2].split(','):
        await layer.group_add(g, channel)
    print('joined', channel, flush=True)
    for _ in range(int(sys.argv[3])):
        m = await layer.receive(channel)
        print('got', m['n'], flush=True)
asyncio.run(main())
''' % URL


def run(coroutine):
    return lambda: asyncio.run(asyncio.wait_for(coroutine(), 55))


class Other:
    """Another process, in the groups."""

    def __init__(self, kind, groups, messages):
        self.process = subprocess.Popen([sys.executable, '-B', '-c', OTHER, kind, groups, str(messages)], stdout=subprocess.PIPE, text=True)
        word, self.channel = self.process.stdout.readline().split()

    def messages(self):
        return [line.split()[1] for line in self.process.stdout]


def core():
    return RedisChannelLayer(hosts=HOSTS)


def pubsub():
    return RedisPubSubChannelLayer(hosts=HOSTS)


async def one_channel():
    layer = core()
    for i in range(20):
        await layer.send('work', {'type': 'x', 'n': i})
    equal([(await layer.receive('work'))['n'] for _ in range(20)], list(range(20)))


async def waiting():
    layer = core()
    names = [await layer.new_channel() for _ in range(4)]
    waits = [asyncio.ensure_future(layer.receive(n)) for n in names]
    await asyncio.sleep(0.2)
    for i, n in enumerate(names):
        await core().send(n, {'type': 'x', 'n': i})
    equal([m['n'] for m in await asyncio.gather(*waits)], [0, 1, 2, 3])


async def groups_here():
    layer = core()
    names = [await layer.new_channel() for _ in range(5)]
    for n in names:
        await layer.group_add('all', n)
    await layer.group_send('all', {'type': 'x', 'n': 1})
    equal([(await layer.receive(n))['n'] for n in names], [1] * 5)
    await layer.group_discard('all', names[0])
    await layer.group_send('all', {'type': 'x', 'n': 2})
    equal([(await layer.receive(n))['n'] for n in names[1:]], [2] * 4)


async def groups_over(kind, layer):
    others = [Other(kind, 'news,sport', 10) for _ in range(3)]
    for i in range(5):
        await layer.group_send('news', {'type': 'x', 'n': 'n%d' % i})
        await layer.group_send('sport', {'type': 'x', 'n': 's%d' % i})
    want = sorted(['n%d' % i for i in range(5)] + ['s%d' % i for i in range(5)])
    for o in others:
        equal(sorted(await asyncio.get_running_loop().run_in_executor(None, o.messages)), want)


async def direct_over(kind, layer):
    other = Other(kind, 'g', 5)
    for i in range(5):
        await layer.send(other.channel, {'type': 'x', 'n': str(i)})
    equal(await asyncio.get_running_loop().run_in_executor(None, other.messages), [str(i) for i in range(5)])


async def capacity():
    layer = RedisChannelLayer(hosts=HOSTS, capacity=3)
    for i in range(3):
        await layer.send('full', {'type': 'x'})
    try:
        await layer.send('full', {'type': 'x'})
    except Exception as e:
        return equal(type(e).__name__, 'ChannelFull')
    raise AssertionError('it took a fourth')


async def flushed():
    layer = core()
    await layer.group_add('gone', await layer.new_channel())
    await layer.flush()


version('channels-redis', channels_redis.__version__)
for name, fn in [('core layer, one channel', one_channel), ('core layer, waiting receivers', waiting), ('core layer, groups', groups_here),
                 ('core layer, groups over processes', lambda: groups_over('core', core())),
                 ('core layer, a channel of another process', lambda: direct_over('core', core())),
                 ('core layer, capacity', capacity), ('core layer, flush', flushed),
                 ('pub/sub layer, groups over processes', lambda: groups_over('pubsub', pubsub())),
                 ('pub/sub layer, a channel of another process', lambda: direct_over('pubsub', pubsub()))]:
    check(name, run(fn), 60)
done()
