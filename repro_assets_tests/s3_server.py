"""A real S3 server on loopback, and a gate before it that can be shut.

Executed, this file is moto's server, with one thing added that S3 has and moto has not: where a put asks whether a name
is free (``If-None-Match``), nobody else can take the name between the look and the write.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


class S3Server:
    """moto's server as a process; what is stored is reached with boto3, past every library of ours."""

    def __init__(self, log: Path, **variables: str) -> None:
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
            )
        while not (match := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert self.process.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        self.port = int(match[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> str:
        self._client().create_bucket(Bucket=name)
        return name

    def read(self, path: str) -> bytes:
        bucket, _, key = path.partition("/")
        return bytes(self._client().get_object(Bucket=bucket, Key=key)["Body"].read())

    def write(self, path: str, data: bytes) -> None:
        bucket, _, key = path.partition("/")
        self._client().put_object(Bucket=bucket, Key=key, Body=data)

    def delete(self, path: str) -> None:
        bucket, _, key = path.partition("/")
        self._client().delete_object(Bucket=bucket, Key=key)

    def paths(self, bucket: str) -> list[str]:
        return sorted(item["Key"] for item in self._client().list_objects_v2(Bucket=bucket).get("Contents", []))

    def _client(self) -> Any:
        # Half a second, which only the tests that need a server should pay.
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Gate:
    """Forwards connections to a server until it is shut, in the middle of whatever is on its way."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    answer = DomainDispatcherApplication(create_backend_app)
    conditional = threading.Lock()

    def application(request: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_IF_NONE_MATCH" not in request or request["REQUEST_METHOD"] != "PUT":
            return answer(request, start_response)
        with conditional:
            return answer(request, start_response)

    run_simple("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    serve()
