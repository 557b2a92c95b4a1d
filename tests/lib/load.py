#!/usr/bin/env python3
"""Steady, bounded traffic to one app, each request recorded; and a judge of the record.

    load.py run PORT HOST RECORD    sends until its standard input ends, at most MOST_SECONDS
    load.py judge RECORD [WINDOWS]  prints the failures outside of the windows; exit 1 when there are any
    load.py first RECORD TIME       seconds from TIME to the end of the first good request begun after it

KEPT workers keep their connection, ONE_SHOT workers open one a request; each pauses between requests.
One request in four posts a body to /echo and wants it back, the others GET /. A line of RECORD is
"begin end kind ok|words". A line of WINDOWS is "begin end": a request that overlaps one may fail.
"""
import http.client
import os
import random
import sys
import threading
import time

KEPT, ONE_SHOT = 3, 2
PAUSE = 0.03
TIMEOUT = 10
MOST_SECONDS = 900


def ask(connection, host, random_):
    """None when the answer is right, else what is wrong with it."""
    headers = {"Host": host}
    if random_.randrange(4):
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        right = body.startswith(b"Hello from ")
    else:
        sent = random_.randbytes(random_.randrange(1, 3000))
        connection.request("POST", "/echo", body=sent, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        right = body == sent
    if answer.status != 200:
        return f"status {answer.status} {answer.getheader('X-Cf-RouterError', '')} {body[:60]!r}"
    return None if right else f"another body: {body[:60]!r}"


def work(number, port, host, record, stop):
    kept, connection = number < KEPT, None
    random_ = random.Random(number)
    while not stop.is_set():
        begin = time.time()
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            wrong = ask(connection, host, random_)
        except (OSError, http.client.HTTPException) as error:
            wrong = f"{type(error).__name__} {error}"
        if connection is not None and (wrong or not kept):
            connection.close()
            connection = None
        words = (wrong or "ok").replace("\n", " ")
        record.write(f"{begin:.4f} {time.time():.4f} {'kept' if kept else 'one-shot'} {words}\n")
        stop.wait(PAUSE * random_.uniform(0.5, 1.5))


def run(port, host, path):
    stop = threading.Event()
    with open(path, "a", buffering=1) as record:
        workers = [threading.Thread(target=work, args=(number, int(port), host, record, stop))
                   for number in range(KEPT + ONE_SHOT)]
        for worker in workers:
            worker.start()
        timer = threading.Timer(MOST_SECONDS, os._exit, [1])
        timer.daemon = True
        timer.start()
        sys.stdin.read()
        stop.set()
        for worker in workers:
            worker.join()


def read(path):
    for line in open(path):
        begin, end, kind, words = line.rstrip("\n").split(" ", 3)
        yield float(begin), float(end), kind, words


def judge(path, windows_path=None):
    windows = [tuple(map(float, line.split())) for line in open(windows_path)] if windows_path else []
    total, excused, failed, slowest = 0, 0, 0, 0.0
    for begin, end, kind, words in read(path):
        total += 1
        if words == "ok":
            slowest = max(slowest, end - begin)
        elif any(begin <= until and end >= since for since, until in windows):
            excused += 1
        else:
            failed += 1
            if failed <= 20:
                print(f"{begin:.3f} after {end - begin:.3f} s, {kind}: {words}")
    print(f"{total} requests, {failed} failed, {excused} while the router was away, "
          f"slowest good one {slowest:.3f} s")
    return 1 if failed or total == 0 else 0


def first(path, since):
    ends = [end for begin, end, _, words in read(path) if words == "ok" and begin >= float(since)]
    print(f"{min(ends) - float(since):.3f}" if ends else "none")
    return 0 if ends else 1


if __name__ == "__main__":
    sys.exit({"run": run, "judge": judge, "first": first}[sys.argv[1]](*sys.argv[2:]))
