"""A PostgreSQL server for the tests: Debian's package, in a temporary folder, run by somebody who is not root."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

USER, PASSWORD = "imu", "open sesame"
_SETTINGS = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_connections": "200", "log_min_messages": "fatal"}
_PREFIX, _LOCK = "imu-pg-", "lock"
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_END = """server="$(head -n 1 "$0/data/postmaster.pid")"
while grep -q "$0" "/proc/$server/cmdline"; do kill -QUIT "$server"; sleep 0.1; done  # the number may be another's by now
rm -rf "$0\""""
_RULES = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"  # the port asks for a password


def _programs() -> Path | None:
    """The folder with PostgreSQL's own programs, the newest version's; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    known = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(known).parent if known else None


def missing() -> str:
    """What keeps the server from being started; empty where nothing does."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (the extra [postgres])"
    return "" if _programs() else "PostgreSQL is not installed (apt install postgresql)"


class Postgres:
    """A server whose files lie in `folder`; it listens on a socket there and on `port` of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._numbers = folder, itertools.count()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._who: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        where = ["-D", self._data, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        self._call("initdb", "-U", USER, "--pwfile", str(secret), *where)
        (folder / "data" / "pg_hba.conf").write_text(_RULES)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _call(self, program: str, *arguments: str) -> None:
        folder = _programs()
        assert folder is not None
        log = self.folder / f"{program}.log"
        with log.open("a") as output:  # no pipe: the server would hold its other end for ever
            command = [str(folder / program), *arguments]
            here = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "cwd": self.folder}
            done = subprocess.run(command, timeout=120, **here, **self._who)
        assert done.returncode == 0, log.read_text()[-2000:]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._call("pg_ctl", "start", "-w", "-s", "-D", self._data, "-l", str(self.folder / "server.log"), "-o", options)

    def stop(self, how: str = "fast") -> None:
        """End it: fast hangs up on everybody, immediate is its kill -9."""
        self._call("pg_ctl", "stop", "-w", "-s", "-D", self._data, "-m", how)

    def at(self, database: str, *, password: str | None = None) -> str:
        """The address of that database: on the socket, or with a password on the port."""
        if password is None:
            return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql://{USER}:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def name(self) -> str:
        """A new, empty database."""
        import psycopg

        name = f"runs_{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), port=self.port, user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        return name

    def create(self) -> str:
        """The address of a new, empty database."""
        return self.at(self.name())


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that has started; it has ended, and its folder is gone, afterwards: also where this process was killed."""
    end_stale()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with FileLock(folder / _LOCK), ending_with_this_process(folder):
        server = Postgres(folder)
        server.start()
        yield server
        server.stop("immediate")


@contextmanager
def ending_with_this_process(folder: Path) -> Iterator[None]:
    """Inside, a shell of its own waits for the end of this process, however it comes, and then ends the server in `folder`."""
    command = ["sh", "-c", f"cat; {_END}", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **_QUIET):  # leaving it closes the pipe
        yield


def end_stale() -> None:
    """End servers, and remove folders, whose process and whose shell are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(Timeout, OSError):
            if (folder / _LOCK).exists():
                with FileLock(folder / _LOCK, timeout=0):
                    subprocess.run(["sh", "-c", _END, str(folder)], stdin=subprocess.DEVNULL, timeout=60, check=False, **_QUIET)
