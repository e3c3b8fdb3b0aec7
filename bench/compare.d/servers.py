"""The processes of a comparison: how each is started, where it answers, what it costs."""
import contextlib
import ctypes
import hmac
import http.client
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import configs

KEY = "weir-bench-0123456789abcdef0123456789abcdef"
PATIENCE_SECONDS = 300  # a table of a million tenants on a machine that others use; who ends is noticed at once
BENCH = pathlib.Path(__file__).resolve().parent.parent


def die(message):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(1)


def program(name, package=None):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return found or die(f"{name} is not installed; run tools/install-deps --bench ({package or name})")


def binary(options, name):
    path = options.bin / name
    return str(path) if path.exists() else die(
        f"{path} is not built: cmake --preset release && cmake --build --preset release")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class UnixConnection(http.client.HTTPConnection):
    """To an admin socket."""

    def __init__(self, path):
        super().__init__("weir")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    """A process on one CPU: its base URLs by kind of request and transport, and the headers it needs."""

    def __init__(self, name, command, cpu, environment=None, announces=False):
        self.name, self.urls, self.headers = name, {}, []
        self.made_of = (name, command, cpu, environment, announces)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if announces else self.log, stderr=self.log,
            env={**os.environ, **(environment or {})}, preexec_fn=end_with_parent)

    def serve(self, port, tls_port=None, stream_path="/v1"):
        for tls, at in ((False, port), (True, tls_port)):
            if at:
                base = f"{'https' if tls else 'http'}://127.0.0.1:{at}"
                self.urls["chat", tls] = base + "/v1"
                self.urls["stream", tls] = base + stream_path
        return self

    def crash_and_restart(self):
        """SIGKILL, then the same command again: the new process, which may not be ready yet."""
        self.process.kill()
        self.process.wait()
        again = Server(*self.made_of)
        again.__dict__ = {**self.__dict__, "log": again.log, "process": again.process}
        return again

    def fail(self, why):
        self.log.seek(0)
        die(f"{self.name} {why}\n{self.log.read().decode(errors='replace')[-2000:]}")

    def announced(self):
        """The first JSON object the process prints on stdout."""
        for line in self.process.stdout:
            if line.startswith(b"{"):
                return json.loads(line)
        self.fail("ended before it was ready")

    def wait_ready(self, port):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.fail("ended before it was ready")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            time.sleep(0.02)
        self.fail(f"does not answer on port {port}")

    def pids(self):
        """The process and its children."""
        pids, found = [self.process.pid], True
        while found:
            found = []
            for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError, ValueError):
                    parent = int(stat.read_text().rpartition(")")[2].split()[1])
                    pid = int(stat.parent.name)
                    if parent in pids and pid not in pids:
                        found.append(pid)
            pids += found
        return pids

    def memory_kib(self, which="Pss"):
        """`which`: Pss, in which a page is divided among all that map it, or Pss_Anon, of it what no file backs."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith(which + ":"):
                        total += int(line.split()[1])
        return total

    def counters(self):
        """Of a weir: kernel entries, exchanges, and requests that a limit or budget had a say in, since it started."""
        sums = dict.fromkeys(("weir_kernel_enters_total", "weir_exchanges_total", "weir_limited_total"), 0)
        connection = UnixConnection(self.admin_socket)
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            name = line.partition("{")[0].partition(" ")[0]
            if name in sums:
                sums[name] += int(line.split()[-1])
        connection.close()
        return sums

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Certificates:
    """A root and a leaf for 127.0.0.1, made now, gone with the folder."""

    def __init__(self, folder):
        openssl = program("openssl")
        folder.mkdir()
        self.root, self.leaf, self.key, self.bundle = (
            folder / name for name in ("root.pem", "leaf.pem", "leaf-key.pem", "bundle.pem"))
        run = lambda *arguments: subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True)
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("req", "-x509", *ec, "-keyout", folder / "root-key.pem", "-out", self.root, "-days", 2,
            "-subj", "/CN=bench root", "-addext", "basicConstraints=critical,CA:TRUE")
        run("req", *ec, "-keyout", self.key, "-out", folder / "leaf.csr", "-subj", "/CN=bench")
        (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        run("x509", "-req", "-in", folder / "leaf.csr", "-CA", self.root, "-CAkey", folder / "root-key.pem",
            "-CAcreateserial", "-out", self.leaf, "-days", 2, "-extfile", folder / "extensions")
        self.bundle.write_text(self.leaf.read_text() + self.key.read_text())


def start_upstream(options, cpu, certificates=None, interval_us=500, frames=200):
    """The mock provider. With certificates it speaks TLS: what no proxy at all costs there."""
    command = [binary(options, "weir-mock-provider"), "--listen", "127.0.0.1:0", "--fixed", "--frames", str(frames),
               "--frame-interval-us", str(interval_us)]
    if certificates:
        command += ["--tls-cert", str(certificates.leaf), "--tls-key", str(certificates.key)]
    server = Server("upstream", command, cpu, announces=True)
    port = server.announced()["port"]
    return server.serve(None, port) if certificates else server.serve(port), f"127.0.0.1:{port}"


def key_hasher(secret, expected):
    """What `weir hash-key` does, for a million keys; checked against one that it made."""
    def hash_of(key):
        return "hmac-sha256:" + hmac.new(secret.encode(), key.encode(), "sha256").hexdigest()
    return hash_of if hash_of(KEY) == expected else die("keys are hashed in another way now: see key_hasher()")


def start_weir(options, folder, cpu, upstream, certificates, table=None, listen=None, shards=1, registry=None,
               limits=None, more=""):
    folder.mkdir()
    environment = {"WEIR_KEY_HASH_SECRET": os.urandom(32).hex(), "MOCK_API_KEY": "sk-mock"}
    port, tls_port = free_port(), free_port()
    config = folder / "weir.yaml"
    config.write_text(configs.WEIR_CONFIG.format(port=port, tls_port=tls_port, certificate=certificates.leaf,
                                                 key=certificates.key))
    weir = binary(options, "weir")
    hashed = subprocess.run([weir, "hash-key", "--config", str(config)], input=KEY, text=True, check=True,
                            capture_output=True, env={**os.environ, **environment}).stdout.strip()
    if table:
        (folder / "table.json").write_text(table(upstream, key_hasher(environment["WEIR_KEY_HASH_SECRET"], hashed)))
        config.write_text(config.read_text().replace("table.yaml", "table.json"))
    else:
        (folder / "table.yaml").write_text(configs.WEIR_TABLE.format(upstream=upstream, hash=hashed))
    config.write_text(config.read_text().replace("shards: 1", f"shards: {shards}"))
    config.write_text(config.read_text() + more)
    if limits:
        config.write_text(config.read_text() + f"limits: {json.dumps(limits)}\n")
    if registry:
        config.write_text(config.read_text().replace("registry: none", f"registry: {registry}"))
    if listen:
        config.write_text(config.read_text().replace(f'"127.0.0.1:{port}"', f'"{listen}:{port}"'))
    server = Server("weir", [weir, "serve", "--config", str(config)], cpu, environment).serve(port, tls_port)
    server.admin_socket = folder / "admin.sock"
    return server.wait_ready(port)


def start_nginx(options, folder, cpu, upstream, certificates):
    folder.mkdir()
    port, tls_port = free_port(), free_port()
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""  # not nobody, who may not read here
    config = folder / "nginx.conf"
    config.write_text(configs.NGINX_PROXY.format(folder=folder, port=port, tls_port=tls_port, user=user,
                                                 upstream=upstream, certificate=certificates.leaf, key=certificates.key))
    command = [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    return Server("nginx", command, cpu).serve(port, tls_port, "/stream/v1").wait_ready(port)


def start_haproxy(options, folder, cpu, upstream, certificates, buffer):
    folder.mkdir()
    port, tls_port = free_port(), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(configs.HAPROXY.format(port=port, tls_port=tls_port, upstream=upstream,
                                             bundle=certificates.bundle, buffer=buffer))
    command = [program("haproxy"), "-db", "-q", "-f", str(config)]
    return Server("haproxy", command, cpu).serve(port, tls_port).wait_ready(port)


def start_relay(options, cpu, upstream, buffers, size):
    server = Server("relay", [binary(options, "relay"), upstream, str(buffers), str(size)], cpu, announces=True)
    return server.serve(server.announced()["port"])


def start_portkey(options, cpu, upstream):
    """Portkey's gateway; None, with a line that says why, where it does not run."""
    script = BENCH / "node_modules/@portkey-ai/gateway/build/start-server.js"
    node = shutil.which("node")
    if not node or not script.exists():
        print("portkey: left out: it is not installed; run tools/install-deps --bench", file=sys.stderr)
        return None
    port = free_port()
    server = Server("portkey", [node, str(script), f"--port={port}", "--headless"], cpu, {"NODE_ENV": "production"})
    server.headers = ["x-portkey-provider: openai", f"x-portkey-custom-host: http://{upstream}/v1"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port), 1).close()
            return server.serve(port)
        time.sleep(0.1)
    print(f"portkey: left out: it does not start on this Node ({node})", file=sys.stderr)
    server.stop()
    return None
