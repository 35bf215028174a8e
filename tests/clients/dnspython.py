"""A resolver of the application's own: dnspython.py NAME PORT COUNT SERVER"""

import json
import socket
import sys

try:
    import dns.exception
    import dns.resolver
except ImportError:
    sys.exit("python3-dnspython is missing: cargo xtask setup")

name, port, count, server = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [server]
for _ in range(count):
    try:
        address = resolver.resolve(name, "A", lifetime=5)[0].address
        socket.create_connection((address, port), timeout=5).close()
        attempt = {"ok": True, "error_type": "", "errno": None, "message": ""}
    except (OSError, dns.exception.DNSException) as error:
        errno = getattr(error, "errno", None)
        attempt = {"ok": False, "error_type": type(error).__name__, "errno": errno, "message": str(error)}
    print(json.dumps(attempt), flush=True)
