"""The ledger's chain tells of every change to what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import Digest
from mainspring.governance import GENESIS, Entry, entry_hash, verify

TEXT_FIELDS = ("type", "subject", "at", "actor", "reason", "data")


def chain(texts: Sequence[tuple[str, ...]]) -> list[Entry]:
    entries: list[Entry] = []
    for number, values in enumerate(texts, start=1):
        type_, subject, at, actor, reason, data = values
        previous = entries[-1].hash if entries else GENESIS
        found = entry_hash(
            number=number,
            type=type_,
            subject=subject,
            at=at,
            actor=actor,
            reason=reason,
            data=data,
            previous=previous,
        )
        entries.append(
            Entry(
                number=number,
                type=type_,
                subject=subject,
                at=at,
                actor=actor,
                reason=reason,
                data=data,
                previous=previous,
                hash=found,
            )
        )
    return entries


# UTF-8 has no lone surrogates, and no store keeps them.
texts = st.text(st.characters(codec="utf-8"), max_size=8)
chains = st.lists(st.tuples(*[texts] * len(TEXT_FIELDS)), min_size=1, max_size=8).map(chain)


def flipped(text: str, at: int, bit: int) -> str:
    """The text with one bit of one character flipped; of an empty text, one more character."""
    if not text:
        return "0"
    place = at % len(text)
    character = chr(ord(text[place]) ^ (1 << bit))
    return text[:place] + character + text[place + 1 :]


@given(chains)
def test_an_undisturbed_chain_is_sound(entries: list[Entry]) -> None:
    found = verify(entries)
    assert found.sound
    assert (found.entries, found.head) == (len(entries), entries[-1].hash)


def test_an_empty_ledger_is_sound() -> None:
    assert verify([]).sound
    assert verify([]).head == GENESIS


@given(chains, st.data())
def test_a_flipped_bit_is_found_at_its_entry(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from((*TEXT_FIELDS, "previous", "hash")))
    text = flipped(
        getattr(entries[place], field), data.draw(st.integers(0, 63)), data.draw(st.integers(0, 6))
    )
    entries[place] = replace(entries[place], **{field: text})
    found = verify(entries)
    assert found.broken_at == place + 1
    assert found.entries == place
    assert found.fault


@given(chains, st.data())
def test_another_number_is_found_at_its_entry(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    number = data.draw(st.integers(-1, len(entries) + 2).filter(lambda number: number != place + 1))
    entries[place] = replace(entries[place], number=number)
    assert verify(entries).broken_at == place + 1


@given(chains.filter(lambda entries: len(entries) > 1), st.data())
def test_an_entry_that_is_missing_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 2))
    found = verify(entries[:place] + entries[place + 1 :])
    assert found.broken_at == place + 1


@given(chains, st.data())
def test_an_entry_that_is_doubled_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    found = verify(entries[: place + 1] + entries[place:])
    assert found.broken_at == place + 2


@given(chains.filter(lambda entries: len(entries) > 1), st.data())
def test_entries_that_changed_places_are_found(entries: list[Entry], data: st.DataObject) -> None:
    places = st.integers(0, len(entries) - 1)
    first, second = sorted(data.draw(st.lists(places, min_size=2, max_size=2, unique=True)))
    entries[first], entries[second] = entries[second], entries[first]
    assert verify(entries).broken_at == first + 1


@given(chains, st.data())
def test_an_entry_written_anew_with_its_own_hash_breaks_the_next(
    entries: list[Entry], data: st.DataObject
) -> None:
    entries = [*entries, *chain([("a",) * 6])]
    place = data.draw(st.integers(0, len(entries) - 2))
    last = entries.pop()
    entries.append(renewed(replace(last, number=len(entries) + 1, previous=entries[-1].hash)))
    entries[place] = renewed(replace(entries[place], reason=entries[place].reason + "!"))
    assert verify(entries).broken_at == place + 2


def renewed(entry: Entry) -> Entry:
    fields = {name: getattr(entry, name) for name in (*TEXT_FIELDS, "number", "previous")}
    return replace(entry, hash=entry_hash(**fields))


def test_the_hash_of_an_entry_never_changes() -> None:
    # A ledger of any release must verify under every later one.
    found = entry_hash(
        number=1,
        type="cycle.started",
        subject="late-arrivals",
        at="2013-02-01T12:00:00.000000Z",
        actor="loop",
        reason="it is due",
        data="{}",
        previous=Digest("0" * 64),
    )
    assert found == "6bd991af61f31545d37df13b915a49e732ced2e2d05bff6023cff4559477e2fc"
