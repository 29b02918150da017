"""Calls WSGI applications without a socket."""

import io
import json


def call(application, method, path, body=b"", **environ):
    """Status and JSON answer."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    answer = {}

    def start_response(status, headers):
        answer["status"] = int(status.split()[0])

    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    text = b"".join(application(environ, start_response))
    return answer["status"], json.loads(text)
