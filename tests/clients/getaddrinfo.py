"""The C library's resolver, by Python's socket module: getaddrinfo.py NAME PORT COUNT"""

import json
import socket
import sys

name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    try:
        socket.create_connection((name, port), timeout=5).close()
        attempt = {"ok": True, "error_type": "", "errno": None, "message": ""}
    except OSError as error:
        attempt = {"ok": False, "error_type": type(error).__name__, "errno": error.errno, "message": str(error)}
    print(json.dumps(attempt), flush=True)
