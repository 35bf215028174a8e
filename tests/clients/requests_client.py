"""Python requests: requests_client.py NAME PORT COUNT"""

import json
import sys

try:
    import requests
except ImportError:
    sys.exit("python3-requests is missing: cargo xtask setup")


def errno_of(error):
    """requests wraps urllib3's exception, which wraps the OSError: only the innermost has the number."""
    while error is not None:
        if isinstance(error, OSError) and isinstance(error.errno, int):
            return error.errno
        error = error.__cause__ or error.__context__
    return None


name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    try:
        requests.get(f"http://{name}:{port}/", timeout=5).raise_for_status()
        attempt = {"ok": True, "error_type": "", "errno": None, "message": ""}
    except requests.RequestException as error:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        attempt = {"ok": False, "error_type": kind, "errno": errno_of(error), "message": str(error)}
    print(json.dumps(attempt), flush=True)
