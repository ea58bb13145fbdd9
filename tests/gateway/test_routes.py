"""Which version answers: the split is sticky, a failing challenger costs nobody an answer, routes are followed."""

from __future__ import annotations

import time

import httpx
from tests.gateway.conftest import INPUTS, Process, Workspace, body, column, model, running

from mainspring.digest import Digest
from mainspring.rollouts.route import Challenger, Route, Variant
from mainspring.rollouts.split import CHAMPION, Part, Split

# The time at which a replay begins. There a request without a time has the routes looked at.
LOOKS_EACH_TIME = "2013-02-01T00:00:00Z"
CARRIERS = [f"C{n}" for n in range(60)]


def routes_served(gateway: Process) -> str:
    return gateway.infer(body()).headers["mainspring-route"]


def test_a_unit_stays_with_its_version_and_the_challengers_units_stay_when_its_share_grows(
    workspace: Workspace,
) -> None:
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0))
    workspace.put_route(2, champion, challenger, share=0.3)
    with running(workspace, LOOKS_EACH_TIME) as gateway:
        first = column(gateway.infer(body(60, carrier=CARRIERS)), "model_version")
        one_by_one = [column(gateway.infer(body(1, carrier=[each])), "model_version")[0] for each in CARRIERS]
        assert (
            one_by_one
            == first
            == [
                1 if part == CHAMPION else 2 for part in Split("rollout-1", [Part(0.0, 0.3)]).assign(CARRIERS)
            ]
        )
        workspace.put_route(3, champion, challenger, share=0.6)
        grown = column(gateway.infer(body(60, carrier=CARRIERS)), "model_version")
        assert {1, 2} == set(first)
        assert sum(grown) > sum(first)
        assert all(later == 2 for earlier, later in zip(first, grown, strict=True) if earlier == 2)


def test_rows_of_both_versions_are_answered_in_their_order(workspace: Workspace) -> None:
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0))
    workspace.put_route(2, champion, challenger, share=0.5)
    distances = [float(n) for n in range(60)]
    with running(workspace) as gateway:
        reply = gateway.infer({**body(60, carrier=CARRIERS, distance=distances), "id": "mixed"})
        assert "model_version" not in reply.json()
        pinned = {
            version: column(
                gateway.infer(body(60, carrier=CARRIERS, distance=distances), path=path), "probability"
            )
            for version, path in (
                (1, "/v2/models/late/versions/champion/infer"),
                (2, "/v2/models/late/versions/2/infer"),
            )
        }
    versions = column(reply, "model_version")
    assert column(reply, "probability") == [pinned[version][row] for row, version in enumerate(versions)]
    record = workspace.predictions[0]
    assert (record.route, record.units, record.versions) == (2, CARRIERS, versions)
    assert record.scores == column(reply, "probability")
    assert record.ids == column(reply, "prediction_id")
    assert record.columns["distance"] == distances
    assert set(record.took_s) == {"1", "2"}


def test_a_row_without_the_unit_is_a_unit_of_its_own(workspace: Workspace) -> None:
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model())
    workspace.put_route(2, champion, challenger, share=0.5)
    with running(workspace) as gateway:
        reply = gateway.infer(body(40, carrier=[None] * 40))
        assert set(column(reply, "model_version")) == {1, 2}
    assert workspace.predictions[0].units == column(reply, "prediction_id")


def test_a_failing_challenger_costs_nobody_an_answer_and_every_failure_is_written_down(
    workspace: Workspace,
) -> None:
    champion = workspace.add_version(1, model())
    request = body(3, distance=[1.0, 900.0, 2.0])
    with running(workspace, LOOKS_EACH_TIME) as gateway:
        sound = column(gateway.infer(request), "probability")
        cases = {
            "nan": (workspace.add_version(2, model("nan")), [2, 1, 2], {1}, "nan is no probability"),
            "raises": (
                workspace.add_version(3, model("raises", bias=0.1)),
                [1, 1, 1],
                {0, 1, 2},
                "out of data bounds",
            ),
            "long": (
                workspace.add_version(4, model("long", bias=0.2)),
                [1, 1, 1],
                {0, 1, 2},
                "the shape (6,)",
            ),
        }
        for number, (kind, (challenger, versions, failed, why)) in enumerate(cases.items(), start=2):
            workspace.put_route(number, champion, challenger, share=1.0)
            asked = {**request, "id": kind}
            if kind == "raises":
                asked = {**body(3, distance=[1.0, 900.0, 2.0], hour=[7, 30, 7]), "id": kind}
            reply = gateway.infer(asked)
            assert column(reply, "model_version") == versions
            assert column(reply, "probability") == sound
            [record] = [
                each for each in workspace.predictions if each.ids[:1] == column(reply, "prediction_id")[:1]
            ]
            assert {each.row for each in record.failures} == failed
            assert {each.version for each in record.failures} == {challenger.version}
            assert all(why in each.error for each in record.failures)
        assert (
            'mainspring_failures_total{product="late",version="2"} 1' in gateway.client.get("/metrics").text
        )


def test_a_null_that_only_the_challenger_has_never_met_goes_to_the_champion(workspace: Workspace) -> None:
    champion = workspace.add_version(1, model())
    workspace.put_route(2, champion, workspace.add_version(2, model(bias=1.0), nullable=False), share=1.0)
    with running(workspace) as gateway:
        assert column(gateway.infer(body(2, distance=[None, 1.0])), "model_version") == [1, 2]
    [failure] = workspace.predictions[0].failures
    assert (failure.row, failure.version) == (0, 2)
    assert failure.error.startswith("null in distance")


def test_a_champion_that_fails_is_told_as_the_servers_fault_and_written_down(workspace: Workspace) -> None:
    workspace.put_route(2, workspace.add_version(2, model("nan")))
    with running(workspace) as gateway:
        reply = gateway.infer(body(2, distance=[1.0, 900.0]))
        assert reply.status_code == 500
        assert reply.json()["error"] == "The model failed on 1 of 2 rows: nan is no probability."
        assert gateway.infer(body()).status_code == 200
    record = workspace.predictions[0]
    assert (record.ids, record.versions, record.scores) == ([], [], [])
    assert (len(record.units), [each.row for each in record.failures]) == (2, [1])


def test_a_pinned_version_answers_for_itself(workspace: Workspace) -> None:
    workspace.put_route(
        2, workspace.add_version(1, model()), workspace.add_version(2, model("nan")), share=0.0
    )
    with running(workspace) as gateway:
        path = "/v2/models/late/versions/challenger/infer"
        assert column(gateway.infer(body(), path=path), "model_version") == [2]
        assert gateway.infer(body(1, distance=[900.0]), path=path).status_code == 500
        assert column(gateway.infer(body(1, distance=[900.0])), "model_version") == [1]


def test_a_route_is_followed_and_no_request_fails_meanwhile(workspace: Workspace) -> None:
    second = workspace.add_version(2, model(bias=1.0))
    with running(workspace) as gateway:
        assert routes_served(gateway) == "1"
        workspace.put_route(2, second)
        since = time.monotonic()
        while (reply := gateway.infer(body())).headers["mainspring-route"] == "1":
            assert column(reply, "model_version") == [1]
            assert time.monotonic() < since + 10
        assert column(reply, "model_version") == [2]


def test_a_route_that_cannot_be_loaded_leaves_the_one_before_in_force(workspace: Workspace) -> None:
    first, broken = workspace.add_version(1, model()), workspace.add_version(2, b"no model")
    tampered = workspace.add_version(3, model(bias=1.0))
    (workspace.folder / tampered.artifact).write_bytes(model(bias=2.0))
    missing = Variant(version=4, artifact=Digest("0" * 64))
    with running(workspace, LOOKS_EACH_TIME) as gateway:
        for number, variant in enumerate((broken, tampered, missing), start=2):
            workspace.put_route(number, variant)
            assert (routes_served(gateway), column(gateway.infer(body()), "model_version")) == ("1", [1])
        (workspace.folder / "routes.json").unlink()
        assert routes_served(gateway) == "1"
        workspace.put_route(5, first)
        assert routes_served(gateway) == "5"


def test_a_product_whose_first_model_cannot_be_loaded_is_unavailable_until_it_can(
    workspace: Workspace,
) -> None:
    variant = workspace.add_version(1, model())
    artifact = workspace.folder / variant.artifact
    content = artifact.read_bytes()
    artifact.unlink()
    with running(workspace, LOOKS_EACH_TIME) as gateway:
        reply = gateway.infer(body())
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "Route 1 of late cannot be served" in reply.json()["error"]
        assert gateway.client.get("/v2/health/ready").status_code == 503
        artifact.write_bytes(content)
        assert gateway.infer(body()).status_code == 200
        assert gateway.client.get("/v2/health/ready").status_code == 200


def test_a_version_may_read_what_the_route_does_not_declare(workspace: Workspace) -> None:
    variant = workspace.add_version(1, model())
    workspace.put_routes(Route(product="late", number=2, champion=variant, salt="s", inputs=INPUTS[:1]))
    with running(workspace) as gateway:
        names = [each["name"] for each in gateway.client.get("/v2/models/late").json()["inputs"]]
        assert names == ["distance", "hour", "carrier"]


def test_models_and_their_readiness_are_described(workspace: Workspace) -> None:
    workspace.put_route(2, workspace.add_version(1, model()), workspace.add_version(2, model()), share=0.1)
    with running(workspace) as gateway:

        def get(path: str) -> httpx.Response:
            return gateway.client.get(path)

        assert "binary_tensor_data" in get("/v2").json()["extensions"]
        assert get("/v2/").json() == get("/v2").json()
        assert get("/v2/health/live").json() == {"live": True}
        assert get("/v2/health/ready").json() == {"ready": True}
        assert get("/v2/models/late/ready").json() == {"name": "late", "ready": True}
        assert get("/v2/models/late/versions/2/ready").status_code == 200
        described = get("/v2/models/late").json()
        assert described["versions"] == ["1", "2"]
        assert described["inputs"][1] == {"name": "hour", "datatype": "INT64", "shape": [-1]}
        assert get("/v2/models/late/versions/challenger").json()["versions"] == ["2"]
        assert 'mainspring_route{product="late"} 2' in get("/metrics").text


def test_a_caller_without_a_key_stays_with_its_version_by_a_cookie(workspace: Workspace) -> None:
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0))
    workspace.put_routes(Route(
        product="late", number=2, champion=champion, challengers=(Challenger(variant=challenger, share=0.5),),
        salt="rollout-1", inputs=INPUTS,
    ))  # fmt: skip
    with running(workspace) as gateway:
        seen = set()
        for _ in range(20):
            with httpx.Client(base_url=gateway.client.base_url) as browser:
                replies = [browser.post("/v2/models/late/infer", json=body()) for _ in range(4)]
            versions = {version for reply in replies for version in column(reply, "model_version")}
            assert len(versions) == 1, "it flipped"
            assert [("set-cookie" in reply.headers) for reply in replies] == [True, False, False, False]
            seen |= versions
        assert seen == {1, 2}
        named = [column(gateway.infer(body(), Mainspring_Unit="ana"), "model_version") for _ in range(5)]
        assert named == named[:1] * 5
        for hopeless in ("", "x" * 129):
            assert gateway.infer(body(), Mainspring_Unit=hopeless).status_code == 200
        units = [record.units[0] for record in workspace.predictions]
        assert len(set(units[:80])) == 20
        assert set(units[80:85]) == {"ana"}
