"""A store on this machine for the comparison: an S3 server, a relay that makes it far away, and the bare requests to hold
against. The server is s3s-fs (scripts/install-peers); S3S_FS names another."""

import asyncio
import datetime
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time

from bench import Failed, copy_of, demote, fresh
from peers import Pgstrata

BUCKET, KEY, SECRET, REGION = "bench", "benchkey", "benchsecret", "us-east-1"


class S3Server:
    """An S3 server whose objects are the files below `root`."""

    def __init__(self, work):
        self.root = work / "s3"
        found = os.environ.get("S3S_FS") or shutil.which("s3s-fs")
        if found is None:
            raise Failed("s3s-fs not found: set S3S_FS or run scripts/install-peers")
        # Where cargo put it, the user that runs it may have no rights.
        self.program = copy_of(found, work / "bin-s3s-fs")

    def __enter__(self):
        fresh(self.root)
        fresh(self.root / BUCKET)
        self.port = free_port()
        self.child = subprocess.Popen(
            [self.program, "--host", "127.0.0.1", "--port", str(self.port), "--access-key", KEY, "--secret-key", SECRET,
             str(self.root)], preexec_fn=demote, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_for(self.port)
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def cpu_s(self):
        """The processor time that the server has taken."""
        return cpu_s_of(self.child.pid)


class LeanS3:
    """The same bucket behind nginx, which does the bulk by itself: objects are files to it, written and sent with next to no
    work, and no signature is looked at. All that is not a whole object or a range of one goes to the server."""

    def __init__(self, server, work):
        self.server, self.base, self.port = server, work / "nginx", free_port()
        self.program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not os.path.exists(self.program):
            raise Failed("nginx not found: run scripts/install-peers")

    def __enter__(self):
        fresh(self.base)
        config = self.base / "nginx.conf"
        config.write_text(NGINX % {"base": self.base, "root": self.server.root, "port": self.port, "server": self.server.port})
        config.chmod(0o644)
        self.child = subprocess.Popen([self.program, "-c", str(config), "-e", str(self.base / "error.log")],
                                      preexec_fn=demote, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      stdin=subprocess.DEVNULL)
        wait_for(self.port)
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def cpu_s(self):
        return cpu_s_of(self.child.pid) + self.server.cpu_s()


NGINX = """
daemon off; master_process off; pid %(base)s/pid; error_log %(base)s/error.log;
events { worker_connections 256; }
http {
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; client_body_buffer_size 1m; keepalive_requests 1000000;
  client_body_temp_path %(base)s/body; proxy_temp_path %(base)s/proxy; fastcgi_temp_path %(base)s/f;
  uwsgi_temp_path %(base)s/u; scgi_temp_path %(base)s/s;
  upstream s3 { server 127.0.0.1:%(server)d; keepalive 8; }
  server {
    listen 127.0.0.1:%(port)d; root %(root)s;
    error_page 404 = @absent; error_page 418 = @server;
    location / {
      if ($args !~ ^(x-id=(Get|Head|Put)Object)?$) { return 418; }
      if ($request_method !~ ^(GET|HEAD|PUT)$) { return 418; }
      dav_methods PUT; create_full_put_path on; dav_access user:rw group:r;
    }
    location @absent {
      default_type application/xml; add_header x-amz-request-id 1 always;
      return 404 "<Error><Code>NoSuchKey</Code><Message>nothing</Message></Error>";
    }
    location @server {
      proxy_pass http://s3; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    }
  }
}
"""


def cpu_s_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Relay:
    """Passes bytes on to a port; each request, that is, what a client sends after it was answered, waits so long first."""

    def __init__(self, port, latency_s):
        self.upstream, self.latency_s, self.port = port, latency_s, free_port()

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        started = asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 20)
        self.server = asyncio.run_coroutine_threadsafe(started, self.loop).result()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def serve(self, client_reader, client_writer):
        answered = asyncio.Event()
        answered.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)

        async def requests():
            while data := await client_reader.read(1 << 18):
                if answered.is_set():
                    answered.clear()
                    await asyncio.sleep(self.latency_s)
                writer.write(data)
                await writer.drain()

        async def answers():
            while data := await reader.read(1 << 18):
                answered.set()
                client_writer.write(data)
                await client_writer.drain()

        try:
            tasks = [asyncio.ensure_future(requests()), asyncio.ensure_future(answers())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        except OSError:
            pass
        finally:
            writer.close()
            client_writer.close()


class OnS3(Pgstrata):
    """Ours, with its repository in the bucket."""

    def __init__(self, work, server, port=None, name="s3", more=None):
        prefix = f"pgstrata-{name}".replace(" ", "-")
        super().__init__(work, name=f"pgstrata {name}",
                         more={**s3_settings(port or server.port), "repo1-path": f"/{prefix}", **(more or {})})
        self.repo = server.root / BUCKET / prefix


def s3_settings(port):
    return {"repo1-type": "s3", "repo1-s3-bucket": BUCKET, "repo1-s3-endpoint": f"http://127.0.0.1:{port}",
            "repo1-s3-region": REGION, "repo1-s3-key": KEY, "repo1-s3-key-secret": SECRET, "repo1-s3-uri-style": "path"}


class BareRequests:
    """The server's own time: signed requests on one connection, with nothing around them."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.host = f"127.0.0.1:{port}"

    def send(self, method, path, query="", body=b""):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
        names = ";".join(headers)
        canonical = "\n".join([method, path, query, *(f"{k}:{v}" for k, v in headers.items()), "", names, "UNSIGNED-PAYLOAD"])
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{SECRET}".encode()
        for part in (now[:8], REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, "
                                    f"Signature={signature}")
        begin = time.perf_counter()
        self.connection.request(method, f"{path}?{query}" if query else path, body=body, headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise Failed(f"{method} {path}: status {answer.status}")
        return time.perf_counter() - begin


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed(f"nothing listens on port {port}")
