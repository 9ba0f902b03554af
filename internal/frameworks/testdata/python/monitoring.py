import os
import socket
import subprocess
import time
import urllib.request

from checks import HOST, PORT, check, done, equal, until, version

CONFIG = '''
defaults
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    mode tcp
frontend f
    bind 127.0.0.1:%d
    default_backend check
backend check
    option redis-check
    server r %s:%d check inter 100
backend talk
    option tcp-check
    tcp-check send PING\\r\\n
    tcp-check expect string +PONG
    tcp-check send info\\ replication\\r\\n
    tcp-check expect string role:master
    tcp-check send QUIT\\r\\n
    tcp-check expect string +OK
    server r %s:%d check inter 100
listen stats
    bind 127.0.0.1:%d
    mode http
    stats enable
    stats uri /
'''


def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def fetch(url):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10).read().decode()


def exporter():
    p = port()
    process = subprocess.Popen(['prometheus-redis-exporter', '-redis.addr', 'redis://%s:%d' % (HOST, PORT), '-web.listen-address', '127.0.0.1:%d' % p,
                                '-is-cluster=false'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def up():
            try:
                return 'redis_up 1' in fetch('http://127.0.0.1:%d/metrics' % p)
            except OSError:
                return False
        until('redis_up', up)
        text = fetch('http://127.0.0.1:%d/metrics' % p)
        for name in ('redis_connected_clients', 'redis_memory_used_bytes', 'redis_commands_total', 'redis_db_keys', 'redis_instance_info'):
            if '\n' + name not in text:
                raise AssertionError('no ' + name)
    finally:
        process.kill()


def haproxy():
    front, stats = port(), port()
    path = os.path.join(os.environ['TMPDIR'], 'haproxy.cfg')
    with open(path, 'w') as f:
        f.write(CONFIG % (front, HOST, PORT, HOST, PORT, stats))
    process = subprocess.Popen(['haproxy', '-db', '-f', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def states():
        try:
            rows = [r.split(',') for r in fetch('http://127.0.0.1:%d/;csv' % stats).splitlines()]
        except OSError:
            return []
        return sorted((r[0], r[17], r[36]) for r in rows if len(r) > 36 and r[1] == 'r')
    try:
        until('both checks', lambda: [s for _, s, c in states() if s == 'UP' and c in ('L7OK', '* L7OK')] == ['UP', 'UP'])
        with socket.create_connection(('127.0.0.1', front), 5) as s:
            s.sendall(b'PING\r\n')
            equal(s.recv(100), b'+PONG\r\n')
        time.sleep(0.5)
        equal([s for _, s, _ in states()], ['UP', 'UP'])
    finally:
        process.kill()


first = lambda *args: (lambda p: p.stdout + p.stderr)(subprocess.run(args, capture_output=True, text=True)).split()
version('haproxy', first('haproxy', '-v')[2])
version('redis_exporter', subprocess.run(['dpkg-query', '-W', '-f', '${Version}', 'prometheus-redis-exporter'], capture_output=True, text=True).stdout.split('-')[0])
check('redis_exporter', exporter)
check('HAProxy, redis-check and tcp-check', haproxy)
done()
