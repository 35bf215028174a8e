# The shop's application: GET /fetch?url=... makes it fetch that, and show the result or the reason.
# It stands for any web application; nothing in it knows of limiterctl.

import errno, http.server, socketserver, urllib.error, urllib.parse, urllib.request

fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        url = query.get("url", [""])[0]
        host = urllib.parse.urlsplit(url).hostname
        try:
            self.show(200, fetch(url, timeout=5).read().decode())
        except ValueError:
            self.show(400, "What is to be fetched?\n")
        except OSError as error:
            # urllib wraps the error of connect().
            reason = getattr(error, "reason", error)
            if getattr(reason, "errno", None) == errno.EDQUOT:
                self.show(503, f"We ask {host} too often; please try again later (EDQUOT).\n")
            else:
                self.show(502, f"{host} does not answer: {reason}\n")

    def show(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    # The base class would ask DNS for a name of its own.
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


Server(("0.0.0.0", 8000), Shop).serve_forever()
