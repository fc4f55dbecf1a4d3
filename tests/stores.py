"""Stores of objects on this machine, and a proxy that makes them fail."""

import hashlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import fsspec
import pytest

ENGINES = Path(
    os.environ.get("GRISTMILL_ENGINES", Path(__file__).resolve().parents[1] / ".engines")
)
# The account and key that every Azurite has, as its documentation gives them.
AZURITE = (
    "devstoreaccount1",
    ("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="),
)
_SECRET = "not-to-be-written-down-anywhere"


@dataclass
class Store:
    """A server of a store: its port, the URL of an empty bucket, what clients need to know, and
    what of that nobody else may."""

    port: int
    bucket: str
    settings: Callable[[int], Mapping[str, str]]  # environment variables for a port
    secret: str


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and put back what they were."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    _forget()
    try:
        yield
    finally:
        _forget()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _forget() -> None:
    """Have fsspec look at the environment again, as a new process does."""
    fsspec.config.set_conf_env(fsspec.config.conf)
    for known in fsspec.registry.values():
        known.clear_instance_cache()


def _needs(package: str) -> None:
    if find_spec(package) is None:  # an import would read the environment
        pytest.skip(f"no {package}: `make test-engines` installs it")


@contextmanager
def _served(command: list[str], port: int) -> Iterator[None]:
    """A server's process, once it answers."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                assert server.poll() is None, command
                time.sleep(0.1)
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def s3() -> Iterator[Store]:
    """moto's S3."""
    _needs("moto")
    port = free_port()

    def settings(port: int) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    with _served([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/mill", method="PUT")
        urllib.request.urlopen(request).close()
        yield Store(port, "s3://mill", settings, _SECRET)


@contextmanager
def gcs() -> Iterator[Store]:
    """fake-gcs-server."""
    _needs("gcsfs")
    program = shutil.which("fake-gcs-server", path=f"{ENGINES}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no fake-gcs-server: `make test-engines` installs it")
    port = free_port()

    def settings(port: int) -> Mapping[str, str]:
        host = f"http://127.0.0.1:{port}"
        return {
            "STORAGE_EMULATOR_HOST": host,
            "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # by gRPC, which the emulator has not
        }

    place = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with _served([program, *place, "-public-host", f"127.0.0.1:{port}"], port):
        url = f"http://127.0.0.1:{port}/storage/v1/b?project=gristmill"
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(url, b'{"name": "mill"}', headers)).close()
        yield Store(port, "gs://mill", settings, "Bearer ")


@contextmanager
def azure() -> Iterator[Store]:
    """Azurite."""
    _needs("adlfs")
    program = ENGINES / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        pytest.skip("no Azurite: `make test-engines` installs it, where there is npm")
    port = free_port()

    def settings(port: int) -> Mapping[str, str]:
        account, key = AZURITE
        parts = {"AccountName": account, "AccountKey": key}
        parts["DefaultEndpointsProtocol"] = "http"
        parts["BlobEndpoint"] = f"http://127.0.0.1:{port}/{account}"
        text = ";".join(f"{name}={value}" for name, value in parts.items())
        return {"AZURE_STORAGE_CONNECTION_STRING": text}

    with tempfile.TemporaryDirectory() as folder:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder]
        command = [str(program), *place, "--skipApiVersionCheck", "--silent"]
        with _served(command, port), environment(settings(port)):
            import adlfs

            adlfs.AzureBlobFileSystem(skip_instance_cache=True).mkdir("mill")
            yield Store(port, "abfs://mill", settings, AZURITE[1])


STORES = {"s3": s3, "gs": gcs, "abfs": azure}


@dataclass
class Asked:
    """A request that came through a proxy, and how many bytes its answer had."""

    method: str
    path: str
    fault: str
    headers: Mapping[str, str]  # by names in lower case
    sent: int = 0


@dataclass
class Proxy:
    """A proxy in front of a server on this machine, which lets requests fail.

    `fault(number, method, path)` names what happens to a request: nothing (""), "throttle" (503,
    SlowDown), "error" (500), "cut" (half of the body comes), "lost" (it is done, and the
    connection ends without an answer). `page`: listings come by so many.
    """

    upstream: int
    fault: Callable[[int, str, str], str] = lambda *_: ""
    page: int | None = None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def served(self) -> Iterator["Proxy"]:
        """Serve until the end of the block."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        method, path = handler.command, handler.path
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in handler.headers.items()}
        asked = Asked(method, path, self.fault(len(self.asked), method, path), headers)
        self.asked.append(asked)
        if asked.fault in ("throttle", "error"):
            status, code = {"throttle": (503, "SlowDown"), "error": (500, "InternalError")}[
                asked.fault
            ]
            text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            handler.send_response(status)
            handler.send_header("Content-Type", "application/xml")
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            if method != "HEAD":
                handler.wfile.write(text)
            return
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, True))
        if self.page and method == "GET":  # S3's and Google's listings
            if query.get("list-type") == "2":
                query["max-keys"] = str(self.page)
            elif parts.path.endswith("/o"):
                query["maxResults"] = str(self.page)
            path = f"{parts.path}?{urlencode(query)}" if query else path
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream)
        headers.pop("expect", None)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if asked.fault == "lost":
            handler.close_connection = True
            return
        handler.send_response_only(response.status, response.reason)
        for key, value in response.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                handler.send_header(key, value)
        length = response.getheader("Content-Length") if method == "HEAD" else len(data)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        if asked.fault == "cut" and len(data) > 1:
            data = data[: len(data) // 2]
            handler.close_connection = True
        handler.wfile.write(data)
        asked.sent = len(data)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[Asked]]]:
    """The files of a folder by HTTP, with ranges and ETags; the URL, and what was asked for."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            one = Asked(self.command, self.path, "", headers)
            asked.append(one)
            path = folder / self.path.lstrip("/")
            data = path.read_bytes() if path.is_file() else b""
            size, status = len(data), 200 if path.is_file() else 404
            tag = hashlib.sha256(data).hexdigest()[:16]
            if found := re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", "")):
                data, status = data[int(found[1]) : int(found[2]) + 1], 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{tag}"')
            if found:
                self.send_header("Content-Range", f"bytes {found[1]}-{found[2]}/{size}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)
                one.sent = len(data)

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
    finally:
        server.shutdown()
        server.server_close()


def some(share: float, *faults: str) -> Callable[[int, str, str], str]:
    """Let a share of requests fail, each kind as often, by a keyed hash of their numbers."""

    def fault(number: int, method: str, path: str) -> str:
        value = int.from_bytes(hashlib.blake2b(b"%d" % number, digest_size=8).digest(), "big")
        at = value / 2**64 / share
        return faults[int(at * len(faults))] if at < 1 else ""

    return fault
