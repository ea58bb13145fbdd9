"""What is asked about experiments."""

from __future__ import annotations

from typing import Any

from ask import OWN, Asking
from mlflow.entities import ViewType


def experiments(ask: Asking) -> None:
    client = ask.client
    ask.note("default", client.get_experiment, "0")
    tags = {"team": "a", "mlflow.note.content": "x"}
    first = ask.note("create", client.create_experiment, OWN + "first", tags=tags)
    ask.note("get", client.get_experiment, first)
    ask.note("by name", client.get_experiment_by_name, OWN + "first")
    ask.note("unknown name", client.get_experiment_by_name, OWN + "none")
    ask.note("unknown id", client.get_experiment, "987654")
    ask.note("an id that none has", client.get_experiment, "no-number")
    ask.note("twice", client.create_experiment, OWN + "first")
    ask.note("empty name", client.create_experiment, "")
    ask.note("longest name", client.create_experiment, OWN + "n" * 497)
    ask.note("too long a name", client.create_experiment, OWN + "n" * 498)
    ask.note("unicode", client.create_experiment, OWN + "ü-実験/deep")
    ask.note("own location", client.create_experiment, OWN + "own", artifact_location="s3://bucket/x?y=z")
    ask.note("own location kept", client.get_experiment_by_name, OWN + "own")
    ask.note("tag", client.set_experiment_tag, first, "team", "b")
    ask.note("long tag", client.set_experiment_tag, first, "long", "v" * 20_000)
    ask.note("too long a tag", client.set_experiment_tag, first, "longer", "v" * 20_001)
    ask.note("tag's key", client.set_experiment_tag, first, "k" * 250, "v")
    ask.note("tag's key too long", client.set_experiment_tag, first, "k" * 251, "v")
    ask.note("rename", client.rename_experiment, first, OWN + "renamed")
    ask.note("rename to one that is taken", client.rename_experiment, first, OWN + "own")
    ask.note("renamed", client.get_experiment, first)
    ask.note("delete", client.delete_experiment, first)
    ask.note("deleted", client.get_experiment, first)
    ask.note("deleted by name", client.get_experiment_by_name, OWN + "renamed")
    ask.note("delete twice", client.delete_experiment, first)
    ask.note("run in a deleted one", client.create_run, first)
    ask.note("tag a deleted one", client.set_experiment_tag, first, "a", "b")
    ask.note("rename a deleted one", client.rename_experiment, first, OWN + "again")
    ask.note("name of a deleted one", client.create_experiment, OWN + "renamed")
    ask.note("restore", client.restore_experiment, first)
    ask.note("restore twice", client.restore_experiment, first)
    ask.note("restored", client.get_experiment, first)
    ask.note("delete one that is not there", client.delete_experiment, "987654")
    if hasattr(client, "delete_experiment_tag"):
        ask.note("untag", client.delete_experiment_tag, first, "team")
        ask.note("untag twice", client.delete_experiment_tag, first, "team")


def experiments_found(ask: Asking) -> None:
    client = ask.client
    for name, tags in (
        ("find-a", {"k": "1"}),
        ("find-b", {"k": "2"}),
        ("find-C", {}),
        ("Find-d", {"k": "1"}),
    ):
        client.create_experiment(OWN + name, tags=tags)
    client.delete_experiment(client.get_experiment_by_name(OWN + "find-C").experiment_id)

    def found(filter_string: str = "name LIKE 'find%'", **asked: Any) -> Any:
        own = filter_string.replace("'find", f"'{OWN}find")
        return client.search_experiments(filter_string=own, **asked)

    def names(filter_string: str = "name LIKE 'find%'", **asked: Any) -> Any:
        page = found(filter_string, **asked)
        return {"names": [each.name for each in page if "ind-" in each.name], "more": bool(page.token)}

    for step, text in {
        "like": "name LIKE 'find-%'",
        "ilike": "name ILIKE 'find-%'",
        "equal": "name = 'find-a'",
        "unequal": "name != 'find-a' AND name LIKE 'find-%'",
        "tag": "tags.k = '1' AND name LIKE 'find%'",
        "tag unequal": "tags.k != '1' AND name LIKE 'find%'",
        "tag like": "tags.`k` LIKE '%' AND name LIKE 'find%'",
        "no tag": "tags.k IS NULL AND name LIKE 'find%'",
        "a tag": "tags.k IS NOT NULL AND name LIKE 'find%'",
        "time": "creation_time > 0 AND name LIKE 'find-%'",
        "time unmet": "last_update_time < 10",
        "prefix": "attribute.name = 'find-b'",
        "number for a text": "name = 5",
        "text for a number": "creation_time = 'x'",
        "unknown attribute": "color = 'x'",
        "unknown entity": "metrics.a > 1",
        "unquoted": "name = find-a",
        "semicolon": "name = 'a'; DROP TABLE experiments",
        "or": "name = 'find-a' OR name = 'find-b'",
        "parentheses": "(name = 'find-a')",
        "not": "NOT name = 'find-a' AND name LIKE 'find%'",
        "nothing compared": "name",
        "joined badly": "name = 'a' AND",
        "in": "name IN ('find-a', 'find-b')",
    }.items():
        ask.note(step, names, text, order_by=["name"])
    ask.note("order", names, order_by=["name DESC"])
    ask.note("default order", names)
    ask.note("bad order", names, order_by=["name SIDEWAYS"])
    ask.note("order by nothing known", names, order_by=["color"])
    ask.note("deleted", names, view_type=ViewType.DELETED_ONLY)
    ask.note("all", names, view_type=ViewType.ALL, order_by=["name"])
    one = {"max_results": 1, "order_by": ["name"]}
    page = found(**one)
    ask.note("page", lambda: [each.name for each in page])
    ask.note("next page", names, page_token=page.token, **one)
    ask.note("no page", names, max_results=0)
    ask.note("too large a page", names, max_results=50_001)
    ask.note("bad token", names, page_token="no token")
