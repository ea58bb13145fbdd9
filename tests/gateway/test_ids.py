"""An id is recognised on every gateway of the workspace, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mainspring.gateway.ids import PredictionIds

IDS = PredictionIds(b"secret")
REQUESTS = st.text(st.sampled_from("abcXYZ019_.:@=+-"), min_size=1, max_size=20)


@given(REQUESTS, st.integers(1, 60))
def test_every_id_is_recognised_and_is_of_its_request_and_row_alone(request_: str, rows: int) -> None:
    issued = IDS.issue(request_, rows)
    assert [each.rpartition(".")[0] for each in issued] == [f"{request_}/{row}" for row in range(rows)]
    assert len({each.rpartition(".")[2] for each in issued}) == rows
    assert all(PredictionIds(b"secret").issued(each) for each in issued)
    assert IDS.issue(request_, 100)[:rows] == issued
    assert not any(PredictionIds(b"of another").issued(each) for each in issued)


@given(REQUESTS, st.integers(0, 40), st.integers(0, 40))
def test_the_code_of_one_row_is_not_that_of_another(request_: str, row: int, other: int) -> None:
    issued = IDS.issue(request_, 41)
    code = issued[row].rpartition(".")[2]
    assert IDS.issued(f"{request_}/{other}.{code}") == (row == other)
    assert not IDS.issued(f"x{request_}/{row}.{code}")


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{0,3}/[-+ 0-9٣²]{0,12}\.[0-9a-f]{10}", fullmatch=True))
def test_no_other_text_is_recognised_or_a_fault(text: str) -> None:
    assert not IDS.issued(text)


def test_an_id_from_before_rows_shared_a_hash_is_recognised() -> None:
    for each in ("order-7/0.82c7848b99", "order-7/13.cdfe458629"):
        assert IDS.issued(each)
