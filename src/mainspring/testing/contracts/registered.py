"""The contract of the stores of registered models and of their versions."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["RegisteredStoreContract"]

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mainspring import search
from mainspring.registry.registered import (
    RegisteredModelNotFound,
    RegisteredModelStore,
    RegisteredModelTaken,
    RegisteredVersion,
    RegisteredVersionNotFound,
    RegisteredVersionStore,
    Stage,
)
from mainspring.search import MODEL_VERSIONS, REGISTERED_MODELS, Search

_NAME = "flights – ‘naïve’"


def _version(name: str = _NAME, *, at: int = 2, **fields: Any) -> RegisteredVersion:
    made = RegisteredVersion(
        name=name, number=0, source="s3://b/m", location="s3://b/m", created_ms=at, updated_ms=at
    )
    return replace(made, **fields)


class RegisteredStoreContract:
    """What a `RegisteredModelStore` and a `RegisteredVersionStore` over the same models promise."""

    @pytest.fixture
    def models(self) -> RegisteredModelStore:
        """Give an empty store of models."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    @pytest.fixture
    def versions(self) -> RegisteredVersionStore:
        """Give the store of their versions."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def found(self, models: RegisteredModelStore, text: str, *orders: str) -> list[str]:
        """Search for models, and give their names."""
        wanted = Search(
            condition=search.parse_filter(text, REGISTERED_MODELS),
            orders=search.parse_order(orders, REGISTERED_MODELS),
            limit=100,
        )
        return [model.name for model in models.search(wanted).items]

    def found_versions(self, versions: RegisteredVersionStore, text: str, *orders: str) -> list[str]:
        """Search for versions, and give their refs."""
        wanted = Search(
            condition=search.parse_filter(text, MODEL_VERSIONS),
            orders=search.parse_order(orders, MODEL_VERSIONS),
            limit=100,
        )
        return [version.ref for version in versions.search(wanted).items]

    def test_a_model_comes_back_as_it_was_recorded(self, models: RegisteredModelStore) -> None:
        made = models.add(_NAME, "of flights", {"b": "2", "a": "1"}, 5)
        assert (made.name, made.description, made.product) == (_NAME, "of flights", False)
        assert (made.created_ms, made.updated_ms, list(made.tags)) == (5, 5, ["a", "b"])
        assert models.get(_NAME) == made

    def test_a_name_is_given_once(self, models: RegisteredModelStore) -> None:
        models.add(_NAME, "", {}, 1)
        with pytest.raises(RegisteredModelTaken) as refused:
            models.add(_NAME, "another", {"a": "1"}, 2)
        assert not refused.value.product
        assert models.get(_NAME).tags == {}
        models.add(_NAME.upper(), "", {}, 3)

    def test_what_is_not_there_is_named(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        of_no_model: tuple[Callable[[], object], ...] = (
            lambda: models.get("none"),
            lambda: models.rename("none", "x", 1),
            lambda: models.describe("none", "x", 1),
            lambda: models.remove("none"),
            lambda: models.tag("none", "a", "b"),
            lambda: models.point("none", "a", 1),
            lambda: versions.add(_version("none")),
        )
        for ask in of_no_model:
            with pytest.raises(RegisteredModelNotFound):
                ask()
        models.add(_NAME, "", {}, 1)
        of_no_version: tuple[Callable[[], object], ...] = (
            lambda: versions.get(_NAME, 1),
            lambda: versions.get(_NAME, 2**62),
            lambda: versions.get("none", 1),
            lambda: versions.describe(_NAME, 1, "x", 1),
            lambda: versions.stage(_NAME, 1, Stage.NONE, 1, alone=False),
            lambda: versions.remove(_NAME, 1, 1),
            lambda: versions.tag(_NAME, 1, "a", "b"),
            lambda: models.point(_NAME, "a", 1),
        )
        for ask in of_no_version:
            with pytest.raises(RegisteredVersionNotFound):
                ask()

    def test_versions_count_from_one_and_no_number_is_given_twice(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {}, 1)
        models.add("other", "", {}, 1)
        assert [versions.add(_version()).number for _ in range(3)] == [1, 2, 3]
        versions.remove(_NAME, 3, 9)
        versions.remove(_NAME, 2, 9)
        assert versions.add(_version()).number == 4
        models.rename(_NAME, "renamed", 9)
        assert versions.add(_version("renamed")).number == 5
        assert versions.add(_version("other")).number == 1

    def test_a_version_comes_back_as_it_was_recorded(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {}, 1)
        made = versions.add(
            _version(
                run_id="r",
                model_id="m-1",
                run_link="http://r",
                description="",
                user_id="ana",
                tags={"a": "1"},
                stage=Stage.STAGING,
            )
        )
        assert versions.get(_NAME, 1) == made
        assert models.get(_NAME).updated_ms == 2

    def test_a_name_that_changes_takes_everything_along(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "d", {"a": "1"}, 1)
        versions.add(_version(tags={"v": "1"}))
        models.point(_NAME, "champion", 1)
        models.rename(_NAME, "renamed", 7)
        model = models.get("renamed")
        assert (model.aliases, model.tags, model.description) == ({"champion": 1}, {"a": "1"}, "d")
        assert (model.created_ms, model.updated_ms) == (1, 7)
        (version,) = model.latest
        assert (version.ref, version.tags, version.updated_ms) == ("renamed@1", {"v": "1"}, 7)
        with pytest.raises(RegisteredModelNotFound):
            models.get(_NAME)
        models.add("other", "", {}, 1)
        with pytest.raises(RegisteredModelTaken):
            models.rename("renamed", "other", 8)
        models.rename("renamed", "renamed", 9)
        assert models.get("renamed").updated_ms == 9

    def test_a_model_goes_with_all_that_it_has(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {"a": "1"}, 1)
        models.add("other", "", {}, 1)
        for name in (_NAME, "other"):
            versions.add(_version(name, tags={"v": "1"}))
            models.point(name, "champion", 1)
        models.remove(_NAME)
        assert self.found(models, "") == ["other"]
        assert self.found_versions(versions, "") == ["other@1"]
        assert models.get("other").aliases == {"champion": 1}
        assert models.add(_NAME, "", {}, 2).aliases == {}

    def test_an_alias_points_to_one_version_and_goes_with_it(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {}, 1)
        for _ in range(2):
            versions.add(_version())
        models.point(_NAME, "champion", 1)
        models.point(_NAME, "champion", 2)
        models.point(_NAME, "best", 2)
        assert models.get(_NAME).aliases == {"best": 2, "champion": 2}
        assert versions.get(_NAME, 2).aliases == ("best", "champion")
        assert versions.get(_NAME, 1).aliases == ()
        models.point(_NAME, "best", None)
        models.point(_NAME, "none", None)
        assert models.get(_NAME).aliases == {"champion": 2}
        versions.remove(_NAME, 2, 5)
        assert models.get(_NAME).aliases == {}

    def test_tags_are_set_replaced_and_removed(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {}, 1)
        versions.add(_version())

        def of_model(key: str, value: str | None) -> bool:
            return models.tag(_NAME, key, value)

        def of_version(key: str, value: str | None) -> bool:
            return versions.tag(_NAME, 1, key, value)

        for tag, owner in (
            (of_model, lambda: models.get(_NAME)),
            (of_version, lambda: versions.get(_NAME, 1)),
        ):
            assert [tag("a", "1"), tag("a", "2"), tag("b", "")] == [False, True, False]
            assert owner().tags == {"a": "2", "b": ""}
            assert [tag("a", None), tag("a", None)] == [True, False]
            assert owner().tags == {"b": ""}

    def test_the_newest_of_each_stage_is_told(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "", {}, 1)
        models.add("other", "", {}, 1)
        versions.add(_version("other"))
        for stage in (Stage.PRODUCTION, Stage.NONE, Stage.PRODUCTION, Stage.STAGING):
            versions.add(_version(stage=stage))
        assert [each.number for each in models.get(_NAME).latest] == [2, 3, 4]
        assert versions.stage(_NAME, 2, Stage.PRODUCTION, 9, alone=True) == (1, 3)
        stages = {each.number: each.stage for each in models.get(_NAME).latest}
        assert stages == {2: Stage.PRODUCTION, 3: Stage.ARCHIVED, 4: Stage.STAGING}
        assert versions.get(_NAME, 1).updated_ms == models.get(_NAME).updated_ms == 9
        assert versions.stage(_NAME, 2, Stage.NONE, 9, alone=False) == ()
        assert versions.get("other", 1).stage is Stage.NONE

    def test_descriptions_are_replaced(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        models.add(_NAME, "one", {}, 1)
        versions.add(_version(description="one"))
        models.describe(_NAME, "two", 5)
        versions.describe(_NAME, 1, None, 6)
        assert (models.get(_NAME).description, models.get(_NAME).updated_ms) == ("two", 5)
        assert (versions.get(_NAME, 1).description, versions.get(_NAME, 1).updated_ms) == (None, 6)

    def test_models_are_found(self, models: RegisteredModelStore, versions: RegisteredVersionStore) -> None:
        for at, (name, tags) in enumerate((("b", {"t": "1"}), ("a", {"t": "2"}), ("C", {})), start=1):
            models.add(name, "", tags, at)
        versions.add(_version("b", at=9))
        models.point("b", "best", 1)
        assert self.found(models, "") == ["C", "a", "b"]
        assert self.found(models, "name ILIKE 'c'") == ["C"]
        assert self.found(models, "name LIKE 'c'") == []
        assert self.found(models, "tags.t != '1'") == ["a"]
        assert self.found(models, "tags.t IS NULL OR name IN ('b')") == ["C", "b"]
        assert self.found(models, "aliases.name = 'best'") == ["b"]
        assert self.found(models, "NOT aliases.name = 'best'") == ["C", "a"]
        assert self.found(models, "creation_timestamp > 1", "last_updated_timestamp DESC") == ["C", "a"]
        assert self.found(models, "", "last_updated_timestamp DESC") == ["b", "C", "a"]

    def test_versions_are_found(self, models: RegisteredModelStore, versions: RegisteredVersionStore) -> None:
        for name in ("a", "b"):
            models.add(name, "", {}, 1)
        for at, name in enumerate(("a", "b", "a"), start=2):
            versions.add(_version(name, at=at, run_id=f"r{at}", source=f"s3://{at}", tags={"t": str(at)}))
        models.point("a", "best", 2)
        versions.stage("b", 1, Stage.STAGING, 9, alone=False)
        assert self.found_versions(versions, "") == ["b@1", "a@2", "a@1"]
        assert self.found_versions(versions, "name = 'a'", "version_number ASC") == ["a@1", "a@2"]
        assert self.found_versions(versions, "", "name DESC") == ["b@1", "a@2", "a@1"]
        assert self.found_versions(versions, "run_id = 'r3'") == ["b@1"]
        assert self.found_versions(versions, "source_path LIKE '%4'") == ["a@2"]
        assert self.found_versions(versions, "version_number = 2") == ["a@2"]
        assert self.found_versions(versions, "version_number = '2'") == ["a@2"]
        assert self.found_versions(versions, "tags.t IN ('2', '3')") == ["b@1", "a@1"]
        assert self.found_versions(versions, "aliases.name LIKE 'b%'") == ["a@2"]
        assert self.found_versions(versions, "current_stage = 'Staging'") == ["b@1"]
        assert self.found_versions(versions, "last_updated_timestamp < 4") == ["a@1"]

    def test_pages_leave_nothing_out(
        self, models: RegisteredModelStore, versions: RegisteredVersionStore
    ) -> None:
        for number in range(7):
            models.add(f"m{number}", "", {}, 1)
            versions.add(_version(f"m{number}"))
        for store in (models, versions):
            names: list[str] = []
            token = ""
            while True:
                page = store.search(Search(condition=search.AllOf(()), limit=3, token=token))
                names += [each.name for each in page.items]
                token = page.token
                if not token:
                    break
            assert names == [f"m{number}" for number in range(7)]
