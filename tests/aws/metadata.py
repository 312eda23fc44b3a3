"""The instance metadata service of one host, second version: who has no token is told nothing.

Runs inside the host: ``python metadata.py FILE``. FILE holds what there is to be read, as JSON: a text for each path.
It is read anew each time, so that a notice can come up.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_urlsafe

ADDRESS = "169.254.169.254"
TOKEN = "/latest/api/token"  # noqa: S105 (where one is asked for)
TOKENS: set[str] = set()


class Answering(BaseHTTPRequestHandler):
    """One request."""

    def do_PUT(self) -> None:
        """Give out a token."""
        if self.path != TOKEN or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
            return self._say(400, "")
        token = token_urlsafe()
        TOKENS.add(token)
        return self._say(200, token)

    def do_GET(self) -> None:
        """Tell what is asked for, to whoever has a token."""
        if self.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
            return self._say(401, "")
        told = json.loads(Path(sys.argv[1]).read_text())
        return self._say(200, told[self.path]) if self.path in told else self._say(404, "")

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer((ADDRESS, 80), Answering).serve_forever()
