"""Registered models: immutable versions, aliases that move, and who moved them. Must not know what is in a folder.

A name's versions are numbered 1, 2, 3, ... and its history is a list of events: register, promote, rollback, delete.
Everything of one name changes in turns, whatever the number of processes (see `_turn`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tunewright.recipe.errors import StoreRefusal, nearest
from tunewright.store import files
from tunewright.store.database import AliasRow, Database, EventRow, ModelRow, VersionRow, now
from tunewright.store.runs import refuse_unless_name

CHAMPION = "champion"


@dataclass(frozen=True)
class Version:
    """One registered model folder and what was known when it was registered.

    `number` is None for a folder that was named by its path and is not registered; then only `name`, `folder` and
    `content_hash` say something. `aliases` are those that point to it now.
    """

    name: str
    number: int | None
    folder: Path
    content_hash: str
    run: str = ""
    base: str = ""
    task: str = ""
    metrics: Mapping[str, Any] | None = None
    gate_passed: bool | None = None
    verdict: Mapping[str, Any] | None = None
    created_at: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What resolves to it again: `name@3`, or the folder's path."""
        return str(self.folder) if self.number is None else f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Event:
    """One line of a name's history: version `number` was registered, promoted, rolled back to or deleted.

    `previous` is what `alias` pointed to before, None where it pointed nowhere. `at` is UTC, ISO 8601.
    """

    name: str
    action: str
    number: int
    alias: str | None
    previous: int | None
    by: str
    reason: str
    at: str


@dataclass(frozen=True)
class Registry:
    """The registered models in one database. Every method raises StoreRefusal where the database cannot be used."""

    database: Database

    def register(
        self,
        name: str,
        *,
        folder: Path,
        run: str,
        metrics: Mapping[str, Any],
        gate_passed: bool | None,
        verdict: Mapping[str, Any],
        base: str,
        task: str,
        by: str = "",
    ) -> Version:
        """Record a model folder as the next version of `name`; nothing is copied.

        Registering the same once more (same run, content and facts, as a resumed run does) gives the version that is
        there. `gate_passed` is None where no gate was asked for. Raises StoreRefusal for a name that cannot be one, and
        for a folder that is absent, damaged or holds links.
        """
        refuse_unless_name(name, what="A model's name")
        _refuse_damaged(folder, called="the folder to register")
        facts = {
            "folder": self._recorded(folder),
            "content_hash": files.hash_folder(folder),
            "run": run,
            "base": base,
            "task": task,
            "metrics": _as_kept(metrics),
            "gate_passed": gate_passed,
            "verdict": _as_kept(verdict),
        }
        with self.database.writing() as session:
            _make_model(session, name)
            model = _turn(session, name)
            twin = _twin(session, name, facts)
            if twin is None:
                model.last_number += 1
                twin = VersionRow(name=name, number=model.last_number, created_at=now(), deleted_at=None, **facts)
                session.add(twin)
                session.flush()
                _record(session, name, action="register", number=twin.number, by=by)
            return self._version(session, twin)

    def resolve(self, reference: str) -> Version:
        """The version that `name@3`, `name@champion`, `name` (its champion, else its newest) or a folder's path means.

        Its folder is hashed and must be as it was registered. Raises StoreRefusal for what does not exist, naming what
        does, and for a folder that is gone or changed.
        """
        if _is_path(reference) or (reference and Path(reference).is_dir() and not self._is_known(reference)):
            return self._folder(Path(reference))
        found = self._named(reference)
        _refuse_changed(found)
        return found

    def promote(self, name: str, version: int, *, alias: str = CHAMPION, by: str, reason: str = "") -> Version:
        """Let `alias` point to a version, and record who did so. To where it points already is no change.

        Raises StoreRefusal where the version does not exist or its folder changed, and for `champion` without a passed
        gate.
        """
        refuse_unless_name(alias, what="An alias")
        if alias.isdigit():
            raise StoreRefusal(f"An alias is not a number, unlike {alias!r}.", remedy="choose a word, say challenger.")
        _refuse_changed(self._named(f"{name}@{version}"))
        with self.database.writing() as session:
            _turn(session, name)
            row = _row(session, name, version)
            if alias == CHAMPION and row.gate_passed is not True:
                seen = "has no gate" if row.gate_passed is None else "did not pass its gate"
                raise StoreRefusal(
                    f"{name}@{version} {seen}, and a champion must have passed one.",
                    where=f"{name}@{version}",
                    remedy="train one that passes, or promote it to another alias, for example challenger.",
                )
            _point(session, name, alias, row.number, action="promote", by=by, reason=reason)
            return self._version(session, row)

    def rollback(self, name: str, alias: str = CHAMPION, *, by: str = "", reason: str = "") -> Version:
        """Let `alias` point to the version that it was promoted to before the one it points to now, and record it.

        Versions deleted since are passed over; rolling back again goes one further. Raises StoreRefusal where there is
        no earlier one, and where its folder changed.
        """
        with self.database.reading() as session:
            _refuse_unknown(session, name)
            verified = self._version(session, _earlier_holder(session, name, alias))
        _refuse_changed(verified)
        with self.database.writing() as session:
            _turn(session, name)
            row = _earlier_holder(session, name, alias)
            if row.number != verified.number:
                raise StoreRefusal(
                    f"Another process moved {name}@{alias} meanwhile.",
                    where=f"{name}@{alias}",
                    remedy="look at the model's history, and roll back again if it is still wanted.",
                )
            _point(session, name, alias, row.number, action="rollback", by=by, reason=reason)
            return self._version(session, row)

    def delete(self, name: str, version: int, *, by: str = "", reason: str = "") -> None:
        """Take a version out of the registry, and record it; its folder stays and its number is never given again.

        Raises StoreRefusal while an alias points to it, naming the alias.
        """
        with self.database.writing() as session:
            _turn(session, name)
            row = _row(session, name, version)
            if aliases := _aliases(session, row):
                raise StoreRefusal(
                    f"{name}@{version} is {' and '.join(aliases)} and cannot be deleted.",
                    where=f"{name}@{version}",
                    remedy="promote another version to that alias first, or roll back.",
                )
            row.deleted_at = now()
            _record(session, name, action="delete", number=version, by=by, reason=reason)

    def versions(self, name: str | None = None) -> list[Version]:
        """The versions of `name`, or of all names, oldest first; deleted ones left out. Folders are not hashed."""
        with self.database.reading() as session:
            if name is not None:
                _refuse_unknown(session, name)
            query = select(VersionRow).where(VersionRow.deleted_at.is_(None))
            chosen = query if name is None else query.where(VersionRow.name == name)
            rows = session.scalars(chosen.order_by(VersionRow.name, VersionRow.number))
            return [self._version(session, row) for row in rows]

    def history(self, name: str) -> list[Event]:
        """Everything that ever happened to `name`, oldest first."""
        with self.database.reading() as session:
            _refuse_unknown(session, name)
            rows = session.scalars(select(EventRow).where(EventRow.name == name).order_by(EventRow.position))
            return [
                Event(each.name, each.action, each.number, each.alias, each.previous, each.by, each.reason, each.at)
                for each in rows
            ]

    def _is_known(self, name: str) -> bool:
        with self.database.reading() as session:
            return session.get(ModelRow, name) is not None

    def _named(self, reference: str) -> Version:
        name, at, which = reference.partition("@")
        with self.database.reading() as session:
            _refuse_unknown(session, name)
            if re.fullmatch(r"[0-9]+", which):
                return self._version(session, _row(session, name, int(which)))
            pointing = session.get(AliasRow, (name, which if at else CHAMPION))
            if pointing is not None:
                return self._version(session, _row(session, name, pointing.number))
            if at:
                raise _no_alias(session, name, which)
            return self._version(session, _newest(session, name))

    def _folder(self, path: Path) -> Version:
        """The newest version registered for this folder with this content; one without a number if there is none.

        Raises StoreRefusal where the folder was registered and holds something else now.
        """
        folder = path.expanduser().resolve()
        _refuse_damaged(folder, called=str(path))
        content_hash = files.hash_folder(folder)
        with self.database.reading() as session:
            query = select(VersionRow).where(
                VersionRow.folder == self._recorded(folder), VersionRow.deleted_at.is_(None)
            )
            rows = session.scalars(query.order_by(VersionRow.created_at.desc())).all()
            if not rows:
                return Version(folder.name, None, folder, content_hash)
            unchanged = [row for row in rows if row.content_hash == content_hash]
            if not unchanged:
                raise _changed(self._version(session, rows[0]), seen="has changed since it was registered")
            return self._version(session, unchanged[0])

    def _recorded(self, folder: Path) -> str:
        """A folder inside the store's root is recorded relative to it, so that the root can move."""
        absolute = folder.expanduser().resolve()
        inside = absolute.is_relative_to(self.database.root)
        return absolute.relative_to(self.database.root).as_posix() if inside else str(absolute)

    def _version(self, session: Session, row: VersionRow) -> Version:
        return Version(
            row.name,
            row.number,
            self.database.root / row.folder,
            row.content_hash,
            row.run,
            row.base,
            row.task,
            row.metrics,
            row.gate_passed,
            row.verdict,
            row.created_at,
            _aliases(session, row),
        )


def _is_path(reference: str) -> bool:
    return "/" in reference or "\\" in reference or reference.startswith((".", "~"))


def _as_kept(facts: Mapping[str, Any]) -> Any:
    """As the database gives them back, so that equal facts compare equal."""
    return json.loads(files.to_json(dict(facts)))


def _make_model(session: Session, name: str) -> None:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(ModelRow).values(name=name, last_number=0).on_conflict_do_nothing())


def _turn(session: Session, name: str) -> ModelRow:
    """Lock the name until the session ends: PostgreSQL locks its row, SQLite's writing session has the whole file."""
    model = session.scalars(select(ModelRow).where(ModelRow.name == name).with_for_update()).one_or_none()
    if model is None:
        raise _unknown(session, name)
    return model


def _twin(session: Session, name: str, facts: dict[str, Any]) -> VersionRow | None:
    query = select(VersionRow).where(
        VersionRow.name == name, VersionRow.content_hash == facts["content_hash"], VersionRow.deleted_at.is_(None)
    )
    rows = session.scalars(query.order_by(VersionRow.number))
    return next((row for row in rows if all(getattr(row, key) == value for key, value in facts.items())), None)


def _record(
    session: Session,
    name: str,
    *,
    action: str,
    number: int,
    alias: str | None = None,
    previous: int | None = None,
    by: str = "",
    reason: str = "",
) -> None:
    last = session.scalar(select(func.max(EventRow.position)).where(EventRow.name == name)) or 0
    facts = {"alias": alias, "previous": previous, "by": by, "reason": reason, "at": now()}
    session.add(EventRow(name=name, position=last + 1, action=action, number=number, **facts))
    session.flush()


def _point(session: Session, name: str, alias: str, number: int, *, action: str, by: str, reason: str) -> None:
    pointing = session.get(AliasRow, (name, alias))
    previous = None if pointing is None else pointing.number
    if previous == number:
        return
    if pointing is None:
        session.add(AliasRow(name=name, alias=alias, number=number))
    else:
        pointing.number = number
    _record(session, name, action=action, number=number, alias=alias, previous=previous, by=by, reason=reason)


def _earlier_holder(session: Session, name: str, alias: str) -> VersionRow:
    """The version that a rollback goes to: promotions stack up, rollbacks take off. Raises StoreRefusal if none."""
    query = select(EventRow).where(EventRow.name == name, EventRow.alias == alias).order_by(EventRow.position)
    holders: list[int] = []
    for event in session.scalars(query):
        if event.action == "promote":
            holders.append(event.number)
        else:
            while holders[-1] != event.number:
                holders.pop()
    if not holders:
        raise _no_alias(session, name, alias)
    earlier = (session.get_one(VersionRow, (name, number)) for number in reversed(holders) if number != holders[-1])
    row = next((row for row in earlier if row.deleted_at is None), None)
    if row is None:
        raise StoreRefusal(
            f"There is no earlier {alias} of {name} to go back to.",
            where=f"{name}@{alias}",
            remedy=f"promote a version instead: {_choices(session, name)}.",
        )
    return row


def _aliases(session: Session, row: VersionRow) -> tuple[str, ...]:
    query = select(AliasRow.alias).where(AliasRow.name == row.name, AliasRow.number == row.number)
    return tuple(session.scalars(query.order_by(AliasRow.alias)))


def _row(session: Session, name: str, number: int) -> VersionRow:
    row = session.get(VersionRow, (name, number)) if number < 2**31 else None
    if row is None or row.deleted_at is not None:
        raise StoreRefusal(
            f"{name}@{number} {'does not exist' if row is None else 'was deleted'}.",
            where=f"{name}@{number}",
            remedy=f"choose one of: {_choices(session, name)}.",
        )
    return row


def _newest(session: Session, name: str) -> VersionRow:
    query = select(VersionRow).where(VersionRow.name == name, VersionRow.deleted_at.is_(None))
    row = session.scalars(query.order_by(VersionRow.number.desc())).first()
    if row is None:
        raise StoreRefusal(f"All versions of {name} were deleted.", where=name, remedy="run its recipe again.")
    return row


def _choices(session: Session, name: str) -> str:
    query = select(VersionRow.number).where(VersionRow.name == name, VersionRow.deleted_at.is_(None))
    numbers = [f"{name}@{number}" for number in session.scalars(query.order_by(VersionRow.number.desc()).limit(10))]
    return ", ".join(numbers) if numbers else "there is no version left, run its recipe again"


def _no_alias(session: Session, name: str, alias: str) -> StoreRefusal:
    known = list(session.scalars(select(AliasRow.alias).where(AliasRow.name == name).order_by(AliasRow.alias)))
    said = f"it has {', '.join(known)}" if known else "it has none"
    return StoreRefusal(
        f"{name} has no alias {alias!r}, {said}.{nearest(alias, known)}",
        where=f"{name}@{alias}",
        remedy=f"choose one of: {_choices(session, name)}.",
    )


def _refuse_unknown(session: Session, name: str) -> None:
    if session.get(ModelRow, name) is None:
        raise _unknown(session, name)


def _unknown(session: Session, name: str) -> StoreRefusal:
    names = list(session.scalars(select(ModelRow.name).order_by(ModelRow.name)))
    said = f"choose one of: {', '.join(names)}" if names else "run a recipe first, it registers its model"
    return StoreRefusal(f"No model is named {name!r}.{nearest(name, names)}", where=name, remedy=f"{said}.")


def _refuse_damaged(folder: Path, *, called: str) -> None:
    """A folder that carries a manifest must agree with it."""
    if not (folder / files.MANIFEST).exists():
        return
    if problems := files.verify_folder(folder):
        raise StoreRefusal(
            f"{called} is damaged: {'; '.join(problems)}.", where=str(folder), remedy="run its recipe again."
        )


def _refuse_changed(version: Version) -> None:
    """The folder of a version must hold what it held when it was registered."""
    if not version.folder.is_dir():
        seen = "is gone"
    elif files.hash_folder(version.folder) != version.content_hash:
        seen = "has changed since it was registered"
    else:
        return
    raise _changed(version, seen=seen)


def _changed(version: Version, *, seen: str) -> StoreRefusal:
    return StoreRefusal(
        f"The folder of {version.reference} {seen}.",
        where=str(version.folder),
        remedy="restore it from a copy, or run the recipe again and use the version that it registers.",
    )
