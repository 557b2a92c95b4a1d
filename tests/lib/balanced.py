#!/usr/bin/env python3
"""Steady, bounded traffic to an app through several routers, as a load balancer in front of them sends it.

    balanced.py run HOST GREETING RECORD ROUTER...   sends until SIGTERM, at most MOST_SECONDS
    balanced.py judge RECORD [WINDOWS [SLOW]]
                                           prints the failures outside of the windows, and what took longer than SLOW
                                           seconds; exit 1 when there are any
    balanced.py count RECORD FROM TO       "requests failed" of those that began between the two times

ROUTER is ADDRESS:PORT:HEALTH-PORT. Every CHECK seconds a router's /health is asked; requests go in turn to those that
answered 200 (to all, when none did). A router that refuses a connection is passed over. A GET on a kept connection
that ends before a byte of an answer is sent once more, by a new one: what every balancer does. Nothing else is.

A good answer has status 200 and begins with GREETING; one request in four posts a body to /echo and wants it back. A
line of RECORD is "begin end router kind ok|words"; a line of WINDOWS "begin end router|- fail|slow": a request that
overlaps it (and went there, when a router is named) may fail, or may be slow.
"""
import http.client
import random
import signal
import sys
import threading
import time

WORKERS = 8
KEPT = 5  # of them keep their connections
PAUSE = 0.04
CHECK = 0.2
CONNECT_TIMEOUT = 1
TIMEOUT = 15
MOST_SECONDS = 900


class Router:
    def __init__(self, text):
        self.address, self.port, self.health = text.rsplit(":", 2)
        self.up = True

    def look(self, stop):
        while not stop.wait(CHECK):
            try:
                c = http.client.HTTPConnection(self.address, int(self.health), timeout=CONNECT_TIMEOUT)
                c.request("GET", "/health")
                self.up = c.getresponse().status == 200
                c.close()
            except (OSError, http.client.HTTPException):
                self.up = False


def connect(routers, turn):
    """A connection to a router that should be asked, and the router; raises when none can be reached."""
    first = turn % len(routers)
    order = routers[first:] + routers[:first]
    last = OSError("no router")
    for router in [r for r in order if r.up] + [r for r in order if not r.up]:
        connection = http.client.HTTPConnection(router.address, int(router.port), timeout=CONNECT_TIMEOUT)
        try:
            connection.connect()
            connection.sock.settimeout(TIMEOUT)
            return connection, router
        except OSError as error:
            last = error
    raise last


def ask(connection, host, greeting, sent):
    """None when the answer is right, else what is wrong with it."""
    headers = {"Host": host}
    if sent is None:
        connection.request("GET", "/", headers=headers)
    else:
        connection.request("POST", "/echo", body=sent, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        return f"status {answer.status} {answer.getheader('X-Cf-RouterError', '')} {body[:60]!r}"
    right = body == sent if sent is not None else body.startswith(greeting)
    return None if right else f"another body: {body[:60]!r}"


def work(number, routers, host, greeting, record, stop):
    kept, connection, router, turn = number < KEPT, None, None, number
    random_ = random.Random(number)
    while not stop.is_set():
        begin = time.time()
        sent = None if random_.randrange(4) else random_.randbytes(random_.randrange(1, 3000))
        again = False
        while True:
            reused = connection is not None
            try:
                if connection is None:
                    turn += 1
                    connection, router = connect(routers, turn)
                wrong = ask(connection, host, greeting, sent)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                wrong = f"{type(error).__name__} {error}"
                if reused and sent is None and not again:
                    connection.close()
                    connection, again = None, True
                    continue
            except (OSError, http.client.HTTPException) as error:
                wrong = f"{type(error).__name__} {error}"
            break
        # Connections move on: a router that drains must not keep its clients, nor a new one lack them. One that it
        # closed is not opened again behind our back.
        if connection is not None and (wrong or connection.sock is None or not kept or not router.up or random_.randrange(20) == 0):
            connection.close()
            connection = None
        words = (wrong or "ok").replace("\n", " ")
        where = router.address if router else "-"
        record.write(f"{begin:.4f} {time.time():.4f} {where} {'POST' if sent is not None else 'GET'} {words}\n")
        stop.wait(PAUSE * random_.uniform(0.5, 1.5))


def run(host, greeting, path, *routers):
    stop = threading.Event()
    routers = [Router(text) for text in routers]
    with open(path, "a", buffering=1) as record:
        threads = [threading.Thread(target=router.look, args=(stop,)) for router in routers]
        threads += [threading.Thread(target=work, args=(number, routers, host, greeting.encode(), record, stop))
                    for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait(MOST_SECONDS)
        stop.set()
        for thread in threads:
            thread.join()


def read(path):
    for line in open(path):
        begin, end, where, kind, words = line.rstrip("\n").split(" ", 4)
        yield float(begin), float(end), where, kind, words


def windows_of(path):
    for line in open(path) if path else ():
        since, until, where, kind = line.split()
        yield float(since), float(until), None if where == "-" else where, kind


def judge(path, windows_path=None, slow="inf"):
    windows = list(windows_of(windows_path))
    total, excused, wrong, took = 0, 0, [], []
    for begin, end, where, kind, words in read(path):
        total += 1
        met = {what for since, until, router, what in windows
               if begin <= until and end >= since and router in (None, where)}
        if words == "ok" and not met:
            took.append(end - begin)
        if words == "ok" and ("slow" in met or end - begin <= float(slow)):
            continue
        if "fail" in met:
            excused += 1
        else:
            words = "slow" if words == "ok" else words
            wrong.append(f"{begin:.3f} after {end - begin:.3f} s, {kind} by {where}: {words}")
    took.sort()
    slowest, most = (took[-1], took[len(took) * 99 // 100]) if took else (0, 0)
    print(*wrong[:20], f"{total} requests, {len(wrong)} failed or slow, {excused} failed in flight; "
          f"p99 {1000 * most:.0f} ms, slowest {slowest:.3f} s", sep="\n")
    return 1 if wrong or total == 0 else 0


def count(path, since, until):
    inside = [words for begin, _, _, _, words in read(path) if float(since) <= begin <= float(until)]
    print(len(inside), sum(words != "ok" for words in inside))


if __name__ == "__main__":
    sys.exit({"run": run, "judge": judge, "count": count}[sys.argv[1]](*sys.argv[2:]))
