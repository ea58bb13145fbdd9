"""Tasks on a Ray cluster. Ray is loaded when a pool is opened, and not before."""

from __future__ import annotations

__all__ = ["RayPool", "RayTaskFailed"]

import importlib
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mainspring.errors import MainspringError

if TYPE_CHECKING:
    from types import TracebackType


class RayTaskFailed(MainspringError):
    """A cluster that could not be reached or did not answer a question; the text is Ray's own."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return (
            f"Ray did not do it: {self.message} See that RAY_ADDRESS names a cluster that runs, that RAY_AUTH_MODE "
            "is the cluster's own, and that its machines have the same packages and see the workspace's folder."
        )


def _answer(module: str, arguments: Sequence[str], question: bytes) -> bytes:
    answered: bytes = importlib.import_module(module).answer(*arguments, question)
    return answered


@dataclass(slots=True)
class RayPool:
    """Tasks on the cluster that `RAY_ADDRESS` names, on one that runs here, or on one that is ended with the block.

    Attributes
    ----------
    module : str
        The module whose function `answer` is given the arguments and a question.
    arguments : sequence of str
    """

    module: str
    arguments: Sequence[str]

    def answers(self, questions: Sequence[bytes]) -> Generator[tuple[int, bytes], None, None]:  # noqa: D102 - see Pool
        import ray

        task = ray.remote(num_cpus=1)(_answer)
        waiting = {
            task.remote(self.module, self.arguments, question): position
            for position, question in enumerate(questions)
        }
        try:
            while waiting:
                (done, *_), _ = ray.wait(list(waiting))
                yield waiting.pop(done), ray.get(done)
        except ray.exceptions.RayError as error:
            raise RayTaskFailed(str(error).strip().splitlines()[-1]) from error
        finally:
            for left in waiting:
                ray.cancel(left, force=True)

    def __enter__(self) -> Self:
        try:
            import ray
        except ImportError:
            raise RayTaskFailed("it is not installed: `pip install 'mainspring[ray]'`.") from None
        try:
            ray.init(
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                # The environment that stands in the lineage, whatever the cluster was started with.
                runtime_env={"py_executable": sys.executable},
            )
        except Exception as error:  # a cluster that does not start in time is told by a bare one
            raise RayTaskFailed(str(error).strip().splitlines()[0]) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        ray.shutdown()  # lets go of a cluster of others, and ends none but its own
