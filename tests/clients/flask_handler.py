"""Runs a handler that is written for Flask, without Flask: its code, a URL, and how many visitors want that."""

import json
import sys
import types


class Flask:
    def __init__(self, name):
        self.handlers = {}

    def get(self, path):
        return lambda handler: self.handlers.setdefault(path, handler)


flask = types.ModuleType("flask")
flask.Flask = Flask
flask.request = types.SimpleNamespace(args={"url": sys.argv[2]})
sys.modules["flask"] = flask
application = {"__name__": "shop"}
exec(sys.argv[1], application)
for _ in range(int(sys.argv[3])):
    body, *rest = answer if isinstance(answer := application["app"].handlers["/fetch"](), tuple) else (answer,)
    status, headers = (rest + [200, {}][len(rest):])
    print(json.dumps([status, headers, body.decode() if isinstance(body, bytes) else body]))
