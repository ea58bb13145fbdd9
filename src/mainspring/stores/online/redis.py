"""The online store in Redis: one hash for each space, in it one value for each entity.

A value is the entity's rows one after the other, in the order of their stamps: two numbers of twenty digits, by which
they compare as text, the length of the values in ten, and the values. Scripts merge and read them, so that each is one
step for everybody else. The field that no entity has, the empty one, holds how far a space has come: what loses a space
loses that with it, and what was lost is never taken for an entity that is not there.
"""

from __future__ import annotations

__all__ = ["RedisOnline"]

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mainspring.errors import Invalid
from mainspring.features.store import NothingPublished, Published, Written
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.online.cells import Cell, Stamp, entity_key, micros, newest, stamped, to_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mainspring.features.online import Known, Value
    from mainspring.features.store import Row

_AT_ONCE = 1_000
_WAIT_S = 2.0
_EARLIEST = -62_135_596_800_000_000
"""The year 1: no stamp is below, so that all are counted from there and none has a sign."""
_STAMP, _HEAD = 40, 50

_MERGE = """
local now = ARGV[1]
local kept, older = 0, 0
for n = 2, #ARGV, 2 do
  local rows, stamps, new = {}, {}, {}
  local function take(cell, fresh)
    local place = 1
    while place <= #cell do
      local stamp = string.sub(cell, place, place + 39)
      local ends = place + 49 + tonumber(string.sub(cell, place + 40, place + 49))
      if rows[stamp] == nil then stamps[#stamps + 1] = stamp end
      rows[stamp] = string.sub(cell, place, ends)
      if fresh then new[stamp] = true end
      place = ends + 1
    end
  end
  take(redis.call('HGET', KEYS[1], ARGV[n]) or '', false)
  take(ARGV[n + 1], true)
  table.sort(stamps)
  local first = 1
  for place, stamp in ipairs(stamps) do
    if string.sub(stamp, 1, 20) <= now and string.sub(stamp, 21) <= now then first = place end
  end
  local left = {}
  for place, stamp in ipairs(stamps) do
    if place >= first then
      left[#left + 1] = rows[stamp]
      if new[stamp] then kept = kept + 1 end
    elseif new[stamp] then
      older = older + 1
    end
  end
  redis.call('HSET', KEYS[1], ARGV[n], table.concat(left))
end
redis.call('SADD', KEYS[2], KEYS[1])
return {kept, older}
"""

_READ = """
local space = redis.call('GET', KEYS[1])
if not space then return false end
return redis.call('HMGET', space, '', unpack(ARGV))
"""

_PUBLISH = """
local space = redis.call('GET', KEYS[1])
local version = space and redis.call('HGET', space, '')
local there = version and (space .. ' ' .. version) or ''
if there ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], '', ARGV[1])
redis.call('SET', KEYS[1], KEYS[2])
for _, space in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if space ~= KEYS[2] then redis.call('UNLINK', space) end
end
redis.call('DEL', KEYS[3])
redis.call('SADD', KEYS[3], KEYS[2])
return 1
"""


class RedisOnline:
    """An online store in a database of Redis, which is this workspace's alone; threads may share it."""

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise Invalid("The online store is Redis: run `pip install 'mainspring[redis]'`.") from None
        self._where = f"The online store in Redis at {urlsplit(url).hostname or 'localhost'}"
        self._away = (redis.RedisError, OSError)
        self._client: Any = redis.Redis.from_url(url, socket_timeout=_WAIT_S, socket_connect_timeout=_WAIT_S)
        self._merge, self._read, self._publish = map(self._client.register_script, (_MERGE, _READ, _PUBLISH))

    def write(self, space: str, rows: Sequence[Row], now: datetime) -> Written:
        """Write rows into a space."""
        cells, written = iter(stamped(rows).items()), Written()
        keys = [_key(space), _spaces(space.partition(":")[0])]
        with self._asking():
            while some := list(islice(cells, _AT_ONCE)):
                cells_of = [each for entity, cell in some for each in (entity, _pack(cell))]
                written += Written(*self._merge(keys=keys, args=[_digits(micros(now)), *cells_of]))
        return written

    def publish(self, name: str, space: str, version: int, *, after: Published | None) -> bool:
        """Let readers of a name read a space."""
        there = f"{_key(after.space)} {after.version}" if after else ""
        with self._asking():
            return bool(self._publish(keys=[_key(name), _key(space), _spaces(name)], args=[version, there]))

    def published(self, name: str) -> Published | None:
        """Say what is read under a name."""
        with self._asking():
            space = self._client.get(_key(name))
            version = None if space is None else self._client.hget(space, "")
        return None if version is None else Published(space.decode().rpartition("}")[2], int(version))

    def read(self, name: str, entities: Sequence[Value], now: datetime) -> list[Known | None]:
        """Give of each entity the row that counts."""
        keys = [b"" if entity is None else entity_key(entity) for entity in entities]
        found: list[Known | None] = []
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            with self._asking():
                answer = self._read(keys=[_key(name)], args=some)
            if answer is None or answer[0] is None:
                raise NothingPublished(name)
            found += [
                _newest(cell, micros(now)) if key and cell else None
                for key, cell in zip(some, answer[1:], strict=True)
            ]
        return found

    def drop(self, name: str) -> None:
        """Forget all that is read under a name."""
        with self._asking():
            self._client.unlink(_key(name), _spaces(name), *self._client.smembers(_spaces(name)))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            raise StoreUnavailable(
                self._where, " ".join(str(error).split()), "See that it runs, then try again."
            ) from error


def _key(space: str) -> str:
    """Name the key of a space or a name; all of one name lie together in a cluster."""
    return f"mainspring:{{{space.partition(':')[0]}}}{space}"


def _spaces(name: str) -> str:
    return f"mainspring:{{{name}}}"


def _digits(at: int) -> str:
    return f"{at - _EARLIEST:020}"


def _pack(cell: Cell) -> bytes:
    return b"".join(
        f"{_digits(at)}{_digits(known)}{len(values):010}".encode() + values
        for (at, known), values in cell.items()
    )


def _newest(packed: bytes, now: int) -> Known | None:
    cell: dict[Stamp, bytes] = {}
    place = 0
    while place < len(packed):
        at, known = int(packed[place : place + 20]), int(packed[place + 20 : place + _STAMP])
        ends = place + _HEAD + int(packed[place + _STAMP : place + _HEAD])
        cell[at + _EARLIEST, known + _EARLIEST] = packed[place + _HEAD : ends]
        place = ends
    stamp = newest(cell, now)
    return None if stamp is None else to_known(stamp, cell[stamp])
