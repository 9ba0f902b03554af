import subprocess

from checks import HOST, PORT, check, done, equal, version

CLI = ['redis-cli', '-h', HOST, '-p', str(PORT)]


def cli(*args, stdin=''):
    p = subprocess.run(CLI + list(args), input=stdin.encode(), capture_output=True, timeout=15)
    return (p.stdout + p.stderr).decode().strip()


def piped():
    protocol = ''.join('*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nx\r\n' % (len(k), k) for k in ('key:%d' % i for i in range(20000)))
    equal(cli('--pipe', stdin=protocol).splitlines()[-1], 'errors: 0, replies: 20000')


def scanned():
    equal(len(cli('--scan', '--pattern', 'key:1*').splitlines()), 11111)


def big():
    cli('rpush', 'list', *map(str, range(100)))
    if 'Biggest   list found' not in cli('--bigkeys'):
        raise AssertionError('no list')
    if '"list"' not in cli('--memkeys').replace("'", '"'):
        raise AssertionError('no list')


def evaluated():
    equal(cli('-x', 'set', 'stdin', stdin='text'), 'OK')
    equal(cli('eval', 'return redis.call("incrby", KEYS[1], ARGV[1])', '1', 'n', '5'), '5')


def database():
    equal((cli('-n', '1', 'set', 'd', 'one'), cli('-n', '1', 'get', 'd'), cli('get', 'd')), ('OK', 'one', ''))


def urls():
    equal(cli('-u', 'redis://%s:%d' % (HOST, PORT), 'get', 'stdin'), 'text')


def resp3():
    cli('hset', 'h', 'a', '1')
    equal(cli('-3', 'hgetall', 'h'), 'a 1')


def transactions():
    equal(cli(stdin='MULTI\nSET t 1\nINCR t\nEXEC\n').splitlines(), ['OK', 'QUEUED', 'QUEUED', 'OK', '2'])


def measured():
    p = subprocess.Popen(CLI + ['--stat', '-i', '0.1', '-r', '3'], stdout=subprocess.PIPE, text=True)
    try:
        lines = [p.stdout.readline() for _ in range(4)]
    finally:
        p.kill()
    if 'keys' not in lines[1]:
        raise AssertionError(repr(lines))
    p = subprocess.run(['timeout', '2'] + CLI + ['--latency', '--raw', '-i', '1'], capture_output=True, text=True)
    if len(p.stdout.split()) < 4:
        raise AssertionError(p.stdout)


version('redis-cli', subprocess.run(['redis-cli', '--version'], capture_output=True, text=True).stdout.split()[1])
for name, fn in [('--pipe with 20,000 SETs', piped), ('--scan', scanned), ('--bigkeys and --memkeys', big), ('-x and eval', evaluated),
                 ('-n', database), ('-u', urls), ('-3', resp3), ('MULTI', transactions), ('--stat and --latency', measured)]:
    check(name, fn)
done()
