"""Both databases for every test of the store: SQLite on a file, and a real PostgreSQL that the tests start and stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from tunewright.store.database import Database, open_database


def _binaries() -> Path | None:
    """The folder of the newest PostgreSQL server that Debian installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _as_server_user() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _start(binaries: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    """A server on the loopback that answers and does not sync: its data are thrown away."""
    initialise = [binaries / "initdb", "-D", data, "-U", "tunewright", "--auth=trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*_as_server_user(), *map(str, initialise)], check=True, capture_output=True)
    command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", data, "-F"]
    log = (data.parent / "log").open("wb")
    server = subprocess.Popen([*_as_server_user(), *map(str, command)], stdout=log, stderr=log)
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "tunewright"]
    for _ in range(300):
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL did not start: {(data.parent / 'log').read_text()}")
        if subprocess.run(ready).returncode == 0:
            return server
        time.sleep(0.1)
    server.kill()
    pytest.fail(f"PostgreSQL did not answer in 30 seconds: {(data.parent / 'log').read_text()}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server: TUNEWRIGHT_TEST_POSTGRES, or one started here and stopped by its pid."""
    if given := os.environ.get("TUNEWRIGHT_TEST_POSTGRES"):
        yield given
        return
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server: install the Debian package postgresql, or set TUNEWRIGHT_TEST_POSTGRES")
    folder = Path(tempfile.mkdtemp(prefix="tunewright-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = _start(binaries, folder / "data", port)
    try:
        yield f"postgresql://tunewright@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # "fast shutdown": it ends its sessions and its children
        server.wait(timeout=30)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of an empty database of its own."""
    name = f"tunewright_{uuid.uuid4().hex}"
    address = sqlalchemy.make_url(postgres_server).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty database of either kind; TUNEWRIGHT_HOME is `tmp_path / "home"`."""
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNEWRIGHT_DATABASE", raising=False)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'tunewright.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def opened(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database, as often as asked, and closes what it opened."""
    databases: list[Database] = []

    def open_once_more() -> Database:
        databases.append(open_database(database_url))
        return databases[-1]

    yield open_once_more
    for database in databases:
        database.close()
