"""The process that connects, in Python: the same requests and replies as the one in Rust, one line of JSON each."""

import errno
import json
import os
import socket
import struct
import sys
import time

# Where the other one runs.
os.sched_setaffinity(0, {0})
# A reset leaves no socket in TIME_WAIT, and so no port that is used up.
RESET = struct.pack("ii", 1, 0)
REFUSED = errno.EDQUOT


def connect(address, ask):
    """Nanoseconds of the asking and of connect(), and whether that was refused."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        start = time.perf_counter_ns()
        ask()
        error = client.connect_ex(address)
        taken = time.perf_counter_ns() - start
    if error not in (0, REFUSED):
        raise OSError(error, os.strerror(error))
    return taken, error == REFUSED


def connecting(address, path):
    """Connects, and asks a Redis server before if there is one: INCR and EXPIRE in one message."""
    if path is None:
        return lambda: connect(address, lambda: None)
    import redis

    pipeline = redis.Redis(unix_socket_path=path).pipeline(transaction=False)

    def ask():
        pipeline.incr(address[0])
        pipeline.expire(address[0], 1)
        pipeline.execute()

    ask()
    return lambda: connect(address, ask)


def viewing(address, storage):
    """Asks a Flask application, whose view connects; with flask-limiter before it if it is told where to count."""
    import flask
    from werkzeug.test import EnvironBuilder

    app = flask.Flask("bench")
    asked = 0

    def destination():
        nonlocal asked
        asked += 1
        return address[0]

    if storage is not None:
        import flask_limiter

        limit = "1000000000 per hour"
        flask_limiter.Limiter(destination, app=app, storage_uri=storage, default_limits=[limit])

    @app.route("/")
    def view():
        flask.g.refused = connect(address, lambda: None)[1]
        return str(flask.g.refused)

    def request():
        environment = EnvironBuilder(path="/").get_environ()
        statuses = []
        before = asked
        start = time.perf_counter_ns()
        body = app(environment, lambda status, headers, information=None: statuses.append(status))
        text = b"".join(body)
        taken = time.perf_counter_ns() - start
        if statuses != ["200 OK"]:
            raise RuntimeError(f"the view answered {statuses}: {text!r}")
        if (asked - before == 0) != (storage is None):
            raise RuntimeError("flask-limiter was not asked, or without need")
        return taken, text == b"True"

    return request


KINDS = {
    "TcpConnect": connecting,
    "TcpConnectAsking": connecting,
    "View": viewing,
}
# Applications live as long as their process.
made = {}

for line in sys.stdin:
    request = json.loads(line)
    job = request["job"]
    kind, argument = (job, None) if isinstance(job, str) else next(iter(job.items()))
    address = (request["to"]["first"], request["port"])
    key = (kind, argument, address)
    if key not in made:
        made[key] = KINDS[kind](address, argument)
    times, refused = [], 0
    start = time.perf_counter_ns()
    for _ in range(request["times"]):
        taken, is_refused = made[key]()
        times.append(taken)
        refused += is_refused
    total = time.perf_counter_ns() - start
    times.sort()
    done = {
        "ns": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "per_second": len(times) * 1e9 / total,
        "ok": len(times) - refused,
        "refused": refused,
    }
    print(json.dumps(done), flush=True)
