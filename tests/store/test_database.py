"""The schema on SQLite and PostgreSQL: made once, kept up to date, closed to change, clear about its refusals."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import database as module
from tunewright.store.database import EventRow, ModelRow, Table, VersionRow, open_database


def version_row(number: int = 1) -> VersionRow:
    return VersionRow(
        name="tickets", number=number, folder="m", content_hash="h", run="r", base="b", task="t",
        metrics={"macro_f1": 0.1}, gate_passed=None, verdict={"lines": []}, created_at="2026", deleted_at=None,
    )  # fmt: skip


def event_row(position: int = 1) -> EventRow:
    return EventRow(
        name="tickets", position=position, action="register", number=1, alias=None, previous=None,
        by="", reason="", at="",
    )  # fmt: skip


def fill(database: module.Database) -> None:
    with database.writing() as session:
        session.add(ModelRow(name="tickets", last_number=1))
        session.flush()
        session.add_all([version_row(), event_row()])


def test_the_steps_make_what_the_rows_say(opened):
    found = sqlalchemy.inspect(opened().engine)
    for table in Table.metadata.sorted_tables:
        seen = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert seen == {column.name: column.nullable for column in table.columns}
        key = [column.name for column in table.primary_key.columns]
        assert found.get_pk_constraint(table.name)["constrained_columns"] == key
        assert len(found.get_foreign_keys(table.name)) == len(table.foreign_key_constraints)


def test_what_was_written_is_read_after_reopening(opened):
    fill(opened())
    with opened().reading() as session:
        row = session.get_one(VersionRow, ("tickets", 1))
        assert row.metrics == {"macro_f1": 0.1} and row.gate_passed is None and row.verdict == {"lines": []}


def test_a_session_that_fails_changes_nothing(opened):
    database = opened()
    with pytest.raises(KeyError), database.writing() as session:
        session.add(ModelRow(name="tickets", last_number=1))
        session.flush()
        raise KeyError("halfway")
    with database.reading() as session:
        assert session.get(ModelRow, "tickets") is None


CHANGES = [
    *(f"UPDATE versions SET {column} = 'x'" for column in ("folder", "content_hash", "run", "base", "task")),
    "UPDATE versions SET number = 7",
    "UPDATE versions SET gate_passed = (1 = 1)",
    "UPDATE versions SET metrics = '{\"macro_f1\": 1.0}'",
    "UPDATE versions SET verdict = '{}'",
    "UPDATE versions SET created_at = '2000'",
    "DELETE FROM versions",
    "UPDATE events SET reason = 'rewritten'",
    "DELETE FROM events",
]


def test_the_database_itself_refuses_to_change_a_version_or_an_event(opened):
    database = opened()
    fill(database)
    for statement in CHANGES:
        with pytest.raises(IntegrityError, match="does not change"), database.writing() as session:
            session.connection().exec_driver_sql(statement)
    with database.reading() as session:
        assert session.get_one(VersionRow, ("tickets", 1)).metrics == {"macro_f1": 0.1}
        assert session.get_one(EventRow, ("tickets", 1)).reason == ""


def test_a_version_is_marked_deleted_once(opened):
    database = opened()
    fill(database)
    for statement in ("UPDATE versions SET deleted_at = '2026'", "UPDATE versions SET deleted_at = NULL"):
        try:
            with database.writing() as session:
                session.execute(sql(statement))
        except IntegrityError:
            assert "NULL" in statement
    with database.reading() as session:
        assert session.get_one(VersionRow, ("tickets", 1)).deleted_at == "2026"


def test_an_alias_of_no_version_is_refused_by_the_database(opened):
    database = opened()
    fill(database)
    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(sql("INSERT INTO aliases VALUES ('tickets', 'champion', 99)"))


def test_sqlite_syncs_every_commit_and_writes_ahead(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "new"))
    monkeypatch.delenv("TUNEWRIGHT_DATABASE", raising=False)
    with open_database() as database, database.engine.connect() as connection:
        assert (tmp_path / "new/tunewright.db").exists()
        seen = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert seen == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_variable_chooses_the_database(database_url, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_DATABASE", database_url)
    with open_database() as database:
        assert database.engine.url.get_backend_name() in database_url
        fill(database)
    with open_database(database_url) as database, database.reading() as session:
        assert session.get(ModelRow, "tickets") is not None


def test_processes_that_open_a_new_database_at_once_make_it_once(database_url, opened):
    code = f"from tunewright.store.database import open_database; open_database({database_url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    with opened().reading() as session:
        applied = list(session.execute(sql("SELECT name FROM schema_steps ORDER BY name")).scalars())
    assert applied == [step.__name__ for step in module.STEPS]


def test_opening_waits_for_a_process_that_writes_a_file_still_without_the_write_ahead_log(tmp_path):
    """SQLite itself gives up at once here, whatever its timeout."""
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    writer.executescript("CREATE TABLE t (x); BEGIN IMMEDIATE;")
    release = threading.Timer(0.3, writer.close)
    release.start()
    with open_database(f"sqlite:///{tmp_path / 'new.db'}") as database, database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    release.join()


def test_opening_gives_up_on_a_file_that_stays_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    writer.executescript("CREATE TABLE t (x); BEGIN IMMEDIATE;")
    with pytest.raises(StoreRefusal, match="locked"):
        open_database(f"sqlite:///{tmp_path / 'new.db'}")
    writer.close()


def test_a_database_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows(opened, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "STEPS", module.STEPS[:1])
        fill(opened())
    database = opened()
    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(sql("DELETE FROM events"))


def test_a_step_that_fails_leaves_the_database_as_it_was(opened, monkeypatch):
    def m999_half(connection):
        connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")
        raise KeyError("halfway")

    opened()
    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(module, "STEPS", (*module.STEPS, m999_half))
        opened()
    assert "half" not in sqlalchemy.inspect(opened().engine).get_table_names()


def test_a_database_of_a_newer_version_is_refused(opened):
    with opened().writing() as session:
        session.execute(sql("INSERT INTO schema_steps VALUES ('m777_tomorrow', '2030')"))
    with pytest.raises(StoreRefusal, match="newer Tunewright: it has m777_tomorrow"):
        opened()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is no URL"),
        ("mysql://host/name", "kind 'mysql' is not supported"),
        ("postgresql://me:secret@127.0.0.1:1/x", "Remedy: Start the server"),
    ],
)
def test_an_address_that_does_not_work_is_refused_without_showing_the_password(url, said):
    with pytest.raises(StoreRefusal, match=said) as refusal:
        open_database(url)
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_no_database_and_a_folder_in_its_place_are_refused(tmp_path: Path):
    (tmp_path / "text.db").write_text("this is a text that is long enough to have a header" * 40)
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreRefusal, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(StoreRefusal, match="unable to open"):
        open_database(f"sqlite:///{tmp_path}/folder.db")


def test_a_writer_that_waits_too_long_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path}/tunewright.db"
    with open_database(url) as one, open_database(url) as two, one.writing():
        with pytest.raises(StoreRefusal, match="locked.*wait for it to end"), two.writing():
            pass
        with two.reading() as session:
            assert session.get(ModelRow, "tickets") is None, "readers do not wait for a writer"
