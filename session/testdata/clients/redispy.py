"""Checks redis-py with its default options: python3 redispy.py PORT"""
import os
import sys
import threading

import redis

# With CA in the environment the client speaks TLS: CERT and KEY are its own. The version is left to the server.
TLS = {}
if os.environ.get("CA"):
    TLS = dict(ssl=True, ssl_ca_certs=os.environ["CA"], ssl_certfile=os.environ.get("CERT"), ssl_keyfile=os.environ.get("KEY"))


def check(got, want):
    if got != want:
        raise AssertionError("%.200r, want %.200r" % (got, want))


def check_raises(text, call):
    try:
        got = call()
    except redis.ResponseError as err:
        if text not in str(err):
            raise
    else:
        raise AssertionError("%r, want an error" % (got,))


def check_types(c):
    check(c.ping(), True)
    check(c.set("a", "1"), True)
    check(c.get("a"), b"1")
    check(c.get("none"), None)
    check(c.mset({"a": 1, "b": 2, "c": 3, "d": 4}), True)
    check(c.mget("a", "none", "d", "b", "c"), [b"1", None, b"4", b"2", b"3"])
    check(c.incr("n"), 1)
    check(c.incrby("n", 41), 42)
    check(c.expire("n", 100), True)
    check(90 < c.ttl("n") <= 100, True)
    check(c.hset("h", mapping={"f": 1, "g": 2}), 2)
    check(c.hgetall("h"), {b"f": b"1", b"g": b"2"})
    check(c.rpush("l", "x", "y", "z"), 3)
    check(c.lrange("l", 0, -1), [b"x", b"y", b"z"])
    check(c.zadd("z", {"one": 1, "two": 2.5}), 2)
    check(c.zrange("z", 0, -1, withscores=True), [(b"one", 1.0), (b"two", 2.5)])
    check(c.delete("a", "b", "c", "d", "none"), 4)
    check_raises("WRONGTYPE", lambda: c.lpush("h", "x"))
    check_raises("unknown command", lambda: c.execute_command("NOSUCH", "x"))
    check(c.info()["loading"], 0)
    check(c.client_setname("checker"), True)
    check(c.client_getname(), "checker")


def check_pipeline(c):
    n = int(os.environ.get("REQUESTS", 10000))
    p = c.pipeline(transaction=False)
    for i in range(n):
        p.set("p%d" % i, "value of %d" % i)
        p.get("p%d" % i)
    replies = p.execute()
    check(replies[0::2], [True] * n)
    check(replies[1::2], [b"value of %d" % i for i in range(n)])


def check_blocking(c):
    check(c.pipeline(transaction=True).set("tx", "1").get("tx").execute(), [True, b"1"])
    p = c.pubsub()
    p.subscribe("news")
    check(p.get_message(timeout=60)["type"], "subscribe")
    check(c.publish("news", "hello"), 1)
    check(p.get_message(timeout=60)["data"], b"hello")
    p.close()
    push = threading.Thread(target=c.rpush, args=("jobs", "job"))
    push.start()
    check(c.blpop("jobs"), (b"jobs", b"job"))
    push.join()


def main():
    c = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), **TLS)
    check_types(c)
    check_pipeline(c)
    check_blocking(c)
    for value in (bytes(range(256)), b"\r\n$-1\r\n", b"", bytes(range(256)) * 4096):
        check(c.set("bytes", value), True)
        check(c.get("bytes"), value)
    check(c.quit(), True)
    try:
        c.ping()
    except redis.ConnectionError:
        pass  # took the old connection before its end was seen
    check(c.get("p7"), b"value of 7")


main()
