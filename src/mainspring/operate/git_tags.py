"""Versions and aliases as tags of a git repository, and tags that others have made as wishes here."""

from __future__ import annotations

__all__ = ["Tagged", "read_tags", "write_tags"]

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mainspring.errors import MainspringError, NotFound
from mainspring.operate.asking import Asking
from mainspring.operate.git import GitFailed, git
from mainspring.operate.made_with import COMMIT
from mainspring.operate.register_models import point_alias
from mainspring.operate.start_rollout import start_rollout
from mainspring.registry.git_tag import GitTag, TagName, assigned, can_be_named
from mainspring.registry.prompts import is_prompt
from mainspring.registry.registered import RegisteredModel
from mainspring.search import AllOf, Search

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

CHAMPION = "champion"

_FIELDS = ("refname:strip=2", "objectname", "objecttype", "*objectname", "taggerdate:unix", "contents")
_OURS = re.compile(r"^mainspring-version: ([0-9]{1,9})$", re.MULTILINE)
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Tagged:
    """What was done, in words, and what was left with the reason."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def write_tags(workspace: Workspace, repository: Path, *, actor: str) -> Tagged:
    """Make the annotated tags that a repository lacks of versions that are registered and aliases that have moved.

    A version is tagged at the commit of the run that made it. What is there already is left, so that it may be asked
    again at any time; nothing is pushed.

    Parameters
    ----------
    workspace : Workspace
    repository : Path
        The folder of a repository, or one within.
    actor : str
        Who is named as the tagger.

    Raises
    ------
    GitFailed
        There is no repository.
    """
    tags = _tags(repository)
    known = {str(tag.name) for tag in tags}
    in_force = assigned(tags)
    counts = {tag.name.model: 0 for tag in tags}
    for tag in tags:
        counts[tag.name.model] = max(counts[tag.name.model], tag.name.count)
    told, now = Tagged(), workspace.clock.now()

    def make(name: TagName, commit: str, at: datetime, number: int, reason: str) -> None:
        who = {"GIT_COMMITTER_NAME": actor, "GIT_COMMITTER_EMAIL": "mainspring@localhost"}
        when = {"GIT_COMMITTER_DATE": f"{int(at.timestamp())} +0000"}
        message = f"{reason}\n\nmainspring-version: {number}"
        try:
            git(
                repository, "tag", "--no-sign", "-a", "-m", message, str(name), commit, environment=who | when
            )
        except GitFailed as error:
            told.left.append(f"{name}: {error.why}")
        else:
            told.done.append(f"{name} at {commit[:12]}")

    for model in _models(workspace):
        if not can_be_named(model.name):
            told.left.append(f"{model.name}: such a name cannot stand in a tag")
            continue
        commits = {}
        for number, commit, at in _versions(workspace, model):
            name = TagName(model=model.name, number=number)
            if not commit or not _has(repository, commit):
                why = (
                    f"its commit {commit[:12]} is not in this repository"
                    if commit
                    else "its run names no commit"
                )
                told.left.append(f"{model.name}@{number}: {why}")
                continue
            commits[number] = commit
            if str(name) not in known:
                make(name, commit, at, number, f"{model.name}@{number} was registered")
        stages = {*model.aliases, *(stage for of, stage in in_force if of == model.name)}
        for stage in sorted(stages):
            last, number_now = in_force.get((model.name, stage)), model.aliases.get(stage)
            stands = None if last is None or last.name.cancels else _meant(last, tags)
            if stands == number_now:
                continue
            count = counts[model.name] = counts.get(model.name, 0) + 1
            # Of two tags of one second GTO takes either.
            then = now if last is None else max(now, last.at + timedelta(seconds=1))
            name = TagName(model=model.name, stage=stage, cancels=number_now is None, count=count)
            if number_now is None:
                assert last is not None
                make(name, last.commit, then, stands or 0, f"{model.name} has no {stage} any more")
            elif not can_be_named(stage):
                told.left.append(f"{model.name}@{stage}: such a name cannot stand in a tag")
            elif number_now in commits:
                make(name, commits[number_now], then, number_now, f"{model.name}@{number_now} became {stage}")
    return told


def read_tags(workspace: Workspace, repository: Path, *, actor: str) -> Tagged:
    """Do what tags ask for that were not made here: move aliases of clients' models, and roll products' versions out.

    A tag is done once. That of a product's stage `champion` starts the declared rollout of its version: no version
    becomes champion by a tag alone.

    Parameters
    ----------
    workspace, repository, actor
        As for `write_tags`.

    Raises
    ------
    GitFailed
        There is no repository.
    """
    tags, told = _tags(repository), Tagged()
    models = {model.name: model for model in _models(workspace)}
    for (name, stage), tag in sorted(assigned(tags).items()):
        key = f"git-tag:{tag.object_id}"
        with workspace.database.read() as tx:
            if _OURS.search(tag.message) or tx.values.get(key) is not None:
                continue
        if (model := models.get(name)) is None:
            told.left.append(f"{tag.name}: there is no model of that name")
            continue
        number = None if tag.name.cancels else _meant(tag, tags)
        if number is None and not tag.name.cancels:
            told.left.append(f"{tag.name}: no version is tagged at its commit")
            continue
        try:
            if model.product:
                told.done.append(_ask_for(workspace, tag, number, actor))
            else:
                asking = Asking(actor, int(workspace.clock.now().timestamp() * 1000))
                with workspace.database.write() as tx:
                    if number is not None:
                        tx.registered_versions.get(name, number)
                    point_alias(tx, name, stage, number, asking)
                    tx.values.put(key, str(tag.name))
                told.done.append(
                    f"{tag.name}: {stage} is {'removed' if number is None else f'version {number}'}"
                )
        except MainspringError as error:
            told.left.append(f"{tag.name}: {error}")
    return told


def _ask_for(workspace: Workspace, tag: GitTag, number: int | None, actor: str) -> str:
    if tag.name.stage != CHAMPION or number is None:
        raise _NotForProducts(tag.name)
    with workspace.database.read() as tx:
        if tx.registry.aliases(tag.name.model).get(CHAMPION) == number:
            return f"{tag.name}: version {number} is the champion"
    reason = f"the tag {tag.name} of commit {tag.commit[:12]}"
    start_rollout(
        workspace, tag.name.model, [number], request_id=f"git-tag-{tag.object_id}", actor=actor, reason=reason
    )
    with workspace.database.write() as tx:
        tx.values.put(f"git-tag:{tag.object_id}", str(tag.name))
    return f"{tag.name}: version {number} is rolled out"


class _NotForProducts(MainspringError):
    """A stage that no product has."""

    def __init__(self, name: TagName) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"of {self.name.model}, a product, a tag can ask for another champion and nothing else"


def _tags(repository: Path) -> list[GitTag]:
    """Read the annotated tags of a repository that are in this form."""
    told = git(
        repository, "for-each-ref", f"--format={'%00'.join(f'%({name})' for name in _FIELDS)}%00", "refs/tags"
    )
    fields = told.decode(errors="replace").split("\0")
    found = []
    for first in range(0, len(fields) - len(_FIELDS), len(_FIELDS)):
        text, object_id, kind, commit, seconds, message = fields[first : first + len(_FIELDS)]
        name = TagName.read(text.lstrip("\n"))
        if name is not None and kind == "tag" and seconds:
            at = datetime.fromtimestamp(int(seconds), UTC)
            found.append(GitTag(name=name, object_id=object_id, commit=commit, at=at, message=message))
    return found


def _meant(tag: GitTag, tags: list[GitTag]) -> int | None:
    """The version that an assignment means: what it says itself, or the newest that is tagged at its commit."""
    if said := _OURS.search(tag.message):
        return int(said[1])
    there = [each.name for each in tags if each.commit == tag.commit and each.name.model == tag.name.model]
    return max((each.number for each in there if each.number is not None), default=None)


def _has(repository: Path, commit: str) -> bool:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        return False
    with suppress(GitFailed):
        git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
        return True
    return False


def _models(workspace: Workspace) -> list[RegisteredModel]:
    search, found = Search(condition=AllOf(()), limit=_PAGE), []
    while True:
        with workspace.database.read() as tx:
            page = tx.registered_models.search(search)
        found += [model for model in page.items if not is_prompt(model.tags)]
        if not page.token:
            return found
        search = replace(search, token=page.token)


def _versions(workspace: Workspace, model: RegisteredModel) -> Iterator[tuple[int, str, datetime]]:
    """Give of each version that is left its number, its run's commit, and when it was registered."""
    newest = max((each.number for each in model.latest), default=0)
    with workspace.database.read() as tx:
        for number in range(1, newest + 1):
            with suppress(NotFound):
                version = tx.registered_versions.get(model.name, number)
                at = datetime.fromtimestamp(version.created_ms / 1000, UTC)
                yield number, _commit(tx, version.run_id), at


def _commit(tx: Transaction, run_id: str) -> str:
    with suppress(NotFound):
        return tx.logged_runs.get(run_id).tags.get(COMMIT, "") if run_id else ""
    return ""
