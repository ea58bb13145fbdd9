"""The pages of experiments and runs."""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Callable

import pytest
from tests.web.conftest import HOSTILE, Get
from tests.web.test_pages import Parsed

from mainspring.operate.log_runs import NewRun, create_experiment, create_run, log
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.record import Metric
from mainspring.workspace import Workspace

Of = Callable[[Workspace], Get]


def points(key: str, values: list[float]) -> list[Metric]:
    return [Metric(key=key, value=value, timestamp_ms=n, step=n) for n, value in enumerate(values)]


@pytest.fixture
def logged(empty: Workspace) -> tuple[int, list[str]]:
    """An experiment with two runs of hostile names, and the ids of both."""
    with empty.database.write() as tx:
        home = create_experiment(tx, "e/" + HOSTILE.replace("\n", ""), "", {"team": HOSTILE}, 5).experiment_id
        ids = []
        for number, depth in enumerate(["3", HOSTILE]):
            run = create_run(tx, NewRun(experiment_id=home, name=HOSTILE, started_ms=number, user_id=HOSTILE))
            ids.append(run.run_id)
            log(tx, run.run_id, points("loss", [1.0, math.nan, 0.5 - number / 10]), [("depth", depth)])
    with empty.artifacts.writing(ArtifactPath.parse(f"{home}/{ids[0]}/artifacts/plots/a b.txt")) as file:
        file.write(b"words")
        file.keep()
    return home, ids


def walked(page: Get, path: str = "/experiments") -> list[str]:
    """All links of a page of experiments and of the pages of the folders in it."""
    parsed = Parsed(page(path))
    assert not list(parsed.all("script"))[1:]
    links = [str(each.get("href")) for each in parsed.all("a")]
    within = urllib.parse.unquote(path)
    below = [each for each in links if "folder=" in each and len(urllib.parse.unquote(each)) > len(within)]
    return links + [link for each in below for link in walked(page, each)]


def test_experiments_are_listed_in_their_folders_with_their_last_run(
    empty: Workspace, logged: tuple[int, list[str]], get: Of
) -> None:
    home, ids = logged
    links = walked(get(empty))
    assert links.count(f"/experiments/{home}") == 1
    assert f"/experiments/{home}/runs/{ids[1]}" in links
    assert "/experiments?folder=e" in links


def test_a_folder_shows_what_is_in_it_and_the_way_up(empty: Workspace, get: Of) -> None:
    with empty.database.write() as tx:
        ids = [
            tx.experiments.add(name, None, {}, number).experiment_id
            for number, name in enumerate(["team/a", "team/deep/b", "team/", "team"])
        ]
    page = get(empty)
    shown = Parsed(page("/experiments?folder=team"))
    links = [each.get("href") for each in shown.all("a")]
    assert {f"/experiments/{ids[0]}", "/experiments?folder=team/deep"} <= set(links)
    assert not {f"/experiments/{each}" for each in ids[1:]} & set(links)
    assert "deep/ 1" in shown.text
    deep = [each.get("href") for each in Parsed(page("/experiments?folder=team/deep")).all("a")]
    assert {"/experiments", "/experiments?folder=team", f"/experiments/{ids[1]}"} <= set(deep)


def test_pages_of_experiments_go_on_where_the_last_ended(empty: Workspace, get: Of) -> None:
    with empty.database.write() as tx:
        ids = [tx.experiments.add(f"team/{n}", None, {}, n // 2).experiment_id for n in range(120)]
    path, found = "/experiments?folder=team", []
    while path:
        parsed = Parsed(get(empty)(path))
        links = [str(each.get("href")) for each in parsed.all("a")]
        found += [int(link.rpartition("/")[2]) for link in links if re.fullmatch(r"/experiments/\d+", link)]
        path = next((f"/experiments{link}" for link in links if "after=" in link), "")
    assert found == ids[::-1]


def test_runs_are_found_and_shown_with_what_tells_them_apart(
    empty: Workspace, logged: tuple[int, list[str]], get: Of
) -> None:
    home, ids = logged
    page = get(empty)(f"/experiments/{home}?filter=metrics.loss < 0.45&order=metrics.loss DESC")
    shown = Parsed(page)
    assert [each["value"] for each in shown.all("input") if each.get("type") == "checkbox"] == [ids[1]]
    both = Parsed(get(empty)(f"/experiments/{home}?order=metrics.loss DESC"))
    assert [each["value"] for each in both.all("input") if each.get("type") == "checkbox"] == ids
    assert "depth" in both.texts
    assert HOSTILE not in page.text


def test_a_filter_that_is_not_understood_is_told_and_all_runs_are_shown(
    empty: Workspace, logged: tuple[int, list[str]], get: Of
) -> None:
    page = get(empty)(f"/experiments/{logged[0]}?filter=<b>")
    shown = Parsed(page)
    assert page.status_code == 200
    assert "Invalid clause(s) in filter string" in shown.text
    assert len([each for each in shown.all("input") if each.get("type") == "checkbox"]) == 2


def test_a_run_is_shown_with_its_curve_its_params_and_its_files(
    empty: Workspace, logged: tuple[int, list[str]], get: Of
) -> None:
    home, ids = logged
    page = Parsed(get(empty)(f"/experiments/{home}/runs/{ids[0]}"))
    assert {"loss", "depth", "3", "mlflow.runName"} <= set(page.texts)
    (path,) = (each["d"] for each in page.all("path"))
    assert path is not None
    assert path.count("M") == 2  # the NaN is a gap
    assert "?folder=plots" in [each.get("href") for each in page.all("a")]
    folder = Parsed(get(empty)(f"/experiments/{home}/runs/{ids[0]}?folder=plots"))
    files = [each.get("href") for each in folder.all("a")]
    assert f"/api/2.0/mlflow-artifacts/artifacts/{home}/{ids[0]}/artifacts/plots/a%20b.txt" in files


def test_two_runs_stand_side_by_side(empty: Workspace, logged: tuple[int, list[str]], get: Of) -> None:
    ids = logged[1]
    page = get(empty)(f"/comparison?run={ids[0]}&run={ids[1]}")
    shown = Parsed(page)
    assert len(list(shown.all("path"))) == 2
    assert [each.get("class") for each in shown.all("tr")].count("differs") == 2  # the param and the metric
    assert HOSTILE not in page.text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/experiments/999", 404),
        ("/experiments/no-number", 404),
        ("/experiments/0/runs/none", 404),
        ("/experiments/0/runs/..%2f", 404),
        ("/comparison", 400),
        ("/comparison?run=a&run=b", 404),
        ("/experiments?after=nonsense", 400),
    ],
)
def test_what_is_not_there_is_said(empty: Workspace, get: Of, path: str, code: int) -> None:
    page = get(empty)(path)
    assert page.status_code == code
    Parsed(page)


@pytest.mark.parametrize("folder", ["..", "%2e%2e/%2e%2e", "/etc", "a\\b"])
def test_no_folder_leads_out_of_a_runs_own(
    empty: Workspace, logged: tuple[int, list[str]], get: Of, folder: str
) -> None:
    home, ids = logged
    page = get(empty)(f"/experiments/{home}/runs/{ids[0]}?folder={folder}")
    assert page.status_code in (200, 400)
    assert "passwd" not in page.text


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 5e-324, 0.0])
def test_a_run_of_extreme_numbers_is_shown(empty: Workspace, get: Of, value: float) -> None:
    with empty.database.write() as tx:
        run = create_run(tx, NewRun(experiment_id=0, started_ms=2**62))
        log(tx, run.run_id, points("m", [value, 1.0, value, 2.0, -value]))
    Parsed(get(empty)("/experiments/0"))
    assert get(empty)(f"/experiments/0/runs/{run.run_id}").status_code == 200
