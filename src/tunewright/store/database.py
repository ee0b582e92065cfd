"""Versions, aliases and the audit trail as tables. Knows SQL and two databases; must not know what may be promoted.

A version and an event are never changed once written: the database itself refuses it, by trigger. The schema is made
by the functions in `STEPS`, each applied once and recorded; a database made by a newer Tunewright is refused.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, Engine, ForeignKeyConstraint, create_engine, event
from sqlalchemy import exc as sql_errors
from sqlalchemy import text as sql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files

WAIT_SECONDS = 30
_MIGRATION_LOCK = 7_463_281_905_116  # an arbitrary number that names PostgreSQL's advisory lock for migrations


class Table(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}


class ModelRow(Table):
    """One registered name. Its row is locked while anything of that name changes, so changes take turns."""

    __tablename__ = "models"
    name: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[int]


class VersionRow(Table):
    """One immutable version; only `deleted_at` may be set, once. Numbers are never given twice."""

    __tablename__ = "versions"
    __table_args__ = (ForeignKeyConstraint(["name"], ["models.name"]),)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str]
    content_hash: Mapped[str]
    run: Mapped[str]
    base: Mapped[str]
    task: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    gate_passed: Mapped[bool | None]
    verdict: Mapped[dict[str, Any]]
    created_at: Mapped[str]
    deleted_at: Mapped[str | None]


class AliasRow(Table):
    """A movable name for a version."""

    __tablename__ = "aliases"
    __table_args__ = (ForeignKeyConstraint(["name", "number"], ["versions.name", "versions.number"]),)
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]


class EventRow(Table):
    """One line of the audit trail."""

    __tablename__ = "events"
    __table_args__ = (ForeignKeyConstraint(["name"], ["models.name"]),)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # 1, 2, 3, ... of that name, without gaps
    action: Mapped[str]  # register, promote, rollback, delete
    number: Mapped[int]
    alias: Mapped[str | None]
    previous: Mapped[int | None]
    by: Mapped[str]
    reason: Mapped[str]
    at: Mapped[str]


@dataclass(frozen=True)
class Database:
    """An open database with the current schema. `root` is what folders inside it are recorded relative to."""

    engine: Engine
    root: Path

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that changes nothing. Raises StoreRefusal where the database cannot be reached."""
        with refusing_sql(self.engine.url), Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes all happen, or none. Raises StoreRefusal where the database cannot be written."""
        engine = self.engine.execution_options(writes=True)
        with refusing_sql(self.engine.url), Session(engine, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now: what is read before the first change is already locked
            yield session

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def open_database(url: str | None = None) -> Database:
    """Open, and make or bring up to date, the database at `url`.

    Without one, TUNEWRIGHT_DATABASE says which, else it is SQLite at `home()/tunewright.db` (write-ahead log, every
    commit synced, foreign keys enforced). PostgreSQL is `postgresql://user:password@host/name`.
    Raises StoreRefusal where it cannot be opened, is no database, or was made by a newer Tunewright.
    """
    root = files.home()
    chosen = _parse(url or os.environ.get("TUNEWRIGHT_DATABASE") or f"sqlite:///{root / 'tunewright.db'}")
    if chosen.get_backend_name() == "sqlite" and chosen.database:
        files.make_folders(Path(chosen.database).absolute().parent)
    with refusing_sql(chosen):
        engine = _sqlite_engine(chosen) if chosen.get_backend_name() == "sqlite" else _postgres_engine(chosen)
        try:
            _bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
    return Database(engine, root)


def now() -> str:
    """The time in UTC to the microsecond, ISO 8601; sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _parse(text: str) -> URL:
    """Raises StoreRefusal for what is no URL of a database that is known here."""
    try:
        url = make_url(text)
    except sql_errors.ArgumentError as error:
        raise StoreRefusal("The database's address is no URL.", where="TUNEWRIGHT_DATABASE", remedy=_ADDRESS) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreRefusal(
            f"A database of kind {url.get_backend_name()!r} is not supported.",
            where="TUNEWRIGHT_DATABASE",
            remedy=_ADDRESS,
        )
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url


_ADDRESS = "write sqlite:////folder/tunewright.db or postgresql://user:password@host/name."


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url, json_serializer=files.to_json, connect_args={"timeout": WAIT_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions: the next listener does
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Change to the write-ahead log. SQLite itself does not wait here where another process opens the same new file."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _postgres_engine(url: URL) -> Engine:
    try:
        return create_engine(
            url, json_serializer=files.to_json, pool_pre_ping=True, connect_args={"connect_timeout": WAIT_SECONDS}
        )
    except ModuleNotFoundError as error:
        raise StoreRefusal(
            "PostgreSQL needs the package psycopg.",
            where="TUNEWRIGHT_DATABASE",
            remedy="pip install 'tunewright[postgres]'.",
        ) from error


@contextmanager
def refusing_sql(url: URL) -> Iterator[None]:
    """Turn what a database says about being unreachable, locked, closed, full or damaged into a StoreRefusal."""
    try:
        yield
    except sql_errors.DBAPIError as error:
        unreachable = isinstance(error, sql_errors.OperationalError | sql_errors.InterfaceError)
        if unreachable or any(said in str(error.orig) for said in _NOT_OUR_MISTAKE):
            raise _refusal(url, error) from error
        raise


_NOT_OUR_MISTAKE = ("permission denied", "not a database", "malformed", "read-only transaction")


def _refusal(url: URL, error: sql_errors.DBAPIError) -> StoreRefusal:
    said = " ".join(str(error.orig).split())
    if "locked" in said:
        remedy = f"another process kept it for {WAIT_SECONDS} seconds: wait for it to end and try again."
    elif url.get_backend_name() == "sqlite":
        remedy = "give this user permission and space there, or set TUNEWRIGHT_DATABASE to another database."
    else:
        remedy = "start the server, and check host, user, password and database in TUNEWRIGHT_DATABASE."
    where = url.render_as_string(hide_password=True)
    return StoreRefusal(f"The database refused: {said}.", where=where, remedy=remedy)


def _bring_up_to_date(engine: Engine) -> None:
    """Apply the steps that this database lacks, in order, in one transaction; other processes wait meanwhile."""
    with engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sql("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        columns = "name TEXT PRIMARY KEY, applied_at TEXT NOT NULL"
        connection.execute(sql(f"CREATE TABLE IF NOT EXISTS schema_steps ({columns})"))
        applied = set(connection.execute(sql("SELECT name FROM schema_steps")).scalars())
        if unknown := applied - {step.__name__ for step in STEPS}:
            raise StoreRefusal(
                f"The database was made by a newer Tunewright: it has {', '.join(sorted(unknown))}.",
                where=connection.engine.url.render_as_string(hide_password=True),
                remedy="upgrade Tunewright, or set TUNEWRIGHT_DATABASE to another database.",
            )
        for step in STEPS:
            if step.__name__ not in applied:
                step(connection)
                row = {"name": step.__name__, "at": now()}
                connection.execute(sql("INSERT INTO schema_steps VALUES (:name, :at)"), row)


def m001_versions_aliases_events(connection: Connection) -> None:
    """The tables above, as they were first."""
    statements = (
        "CREATE TABLE models (name TEXT NOT NULL PRIMARY KEY, last_number INTEGER NOT NULL)",
        """CREATE TABLE versions (
            name TEXT NOT NULL REFERENCES models (name), number INTEGER NOT NULL CHECK (number >= 1),
            folder TEXT NOT NULL, content_hash TEXT NOT NULL, run TEXT NOT NULL, base TEXT NOT NULL, task TEXT NOT NULL,
            metrics JSON NOT NULL, gate_passed BOOLEAN, verdict JSON NOT NULL,
            created_at TEXT NOT NULL, deleted_at TEXT, PRIMARY KEY (name, number))""",
        """CREATE TABLE aliases (
            name TEXT NOT NULL, alias TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (name, alias),
            FOREIGN KEY (name, number) REFERENCES versions (name, number))""",
        """CREATE TABLE events (
            name TEXT NOT NULL REFERENCES models (name), position INTEGER NOT NULL, action TEXT NOT NULL,
            number INTEGER NOT NULL, alias TEXT, previous INTEGER, "by" TEXT NOT NULL, reason TEXT NOT NULL,
            at TEXT NOT NULL, PRIMARY KEY (name, position))""",
    )
    for statement in statements:
        connection.exec_driver_sql(statement)


_IMMUTABLE = ("name", "number", "folder", "content_hash", "run", "base", "task", "metrics", "gate_passed", "verdict")


def m002_versions_and_events_do_not_change(connection: Connection) -> None:
    """Triggers: an event is never changed or removed; of a version only `deleted_at` may be set, and only once."""
    postgres = connection.dialect.name == "postgresql"
    new, old = ("NEW.{0}::text", "OLD.{0}::text") if postgres else ("NEW.{0}", "OLD.{0}")
    changed = " OR ".join(f"{new} IS DISTINCT FROM {old}".format(column) for column in (*_IMMUTABLE, "created_at"))
    if not postgres:
        changed = changed.replace("IS DISTINCT FROM", "IS NOT")
    rules = (
        ("versions", "UPDATE", f"OLD.deleted_at IS NOT NULL OR {changed}"),
        ("versions", "DELETE", "1 = 1"),
        ("events", "UPDATE", "1 = 1"),
        ("events", "DELETE", "1 = 1"),
    )
    if postgres:
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'this record does not change' USING ERRCODE = 'check_violation'; END $$"
        )
    refuse = "BEGIN SELECT RAISE(ABORT, 'this record does not change'); END"
    action = "EXECUTE FUNCTION refuse_change()" if postgres else refuse
    for table, verb, when in rules:
        trigger = f"{table}_{verb.lower()}_refused BEFORE {verb} ON {table}"
        connection.exec_driver_sql(f"CREATE TRIGGER {trigger} FOR EACH ROW WHEN ({when}) {action}")


STEPS: tuple[Callable[[Connection], None], ...] = (m001_versions_aliases_events, m002_versions_and_events_do_not_change)
