"""Asking for a cycle: a person's request, checked against the declaration before it is taken."""

from __future__ import annotations

__all__ = ["request_training"]

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Conflict, Fault, Faults, MainspringError
from mainspring.events import Event, EventType
from mainspring.loop import TrainingRequest
from mainspring.operate.data.datasets import find_version
from mainspring.operate.offers import read_offer
from mainspring.operate.status import check_product
from mainspring.ref import DataRef
from mainspring.triggers import OnDemand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.product import ParamValue, ProductSpec
    from mainspring.ref import DataAddress
    from mainspring.workspace import Workspace


def request_training(
    workspace: Workspace,
    product: str,
    *,
    request_id: str,
    actor: str,
    reason: str,
    params: Mapping[str, ParamValue] | None = None,
    model: str = "",
    data: Sequence[DataAddress] = (),
) -> TrainingRequest:
    """Ask the loop to start a cycle.

    Parameters
    ----------
    workspace : Workspace
        Of the product.
    product : str
        Its name.
    request_id : str
        Asked again under the same id, it is the same request.
    actor, reason : str
        Who asks, and why.
    params : mapping, optional
        Params to change for this cycle alone, as `step.name`.
    data : sequence of DataAddress
        Data versions to use; other datasets are read at their newest version.
    model : str
        A model that a client logged, as `mainspring.operate.offers.read_offer` takes it: it is packaged, judged and
        rolled out as one that the product's own pipeline trains.

    Raises
    ------
    UnknownProduct
        No file declares it.
    UnknownOffer, Unofferable
        There is no such model, or it cannot be read.
    PickleNotAllowed
        The model is a pickle, and the operator does not allow the product's models to run code.
    Faults
        The product is not trained on demand, or a param or a data version does not exist; all faults are told.
    Conflict
        The id is that of a request for another product.
    """
    given = dict(params or {})
    with workspace.database.read() as tx:
        check_product(tx, product)
    offer = (
        read_offer(workspace, model, allow_code=workspace.settings.allows_code(product)) if model else None
    )
    with workspace.database.write() as tx:
        check_product(tx, product)
        spec = workspace.specs(tx)[product]
        faults = _param_faults(spec, given)
        if not any(isinstance(each, OnDemand) for each in spec.retrain):
            faults.append(
                Fault(
                    "retrain",
                    "has no OnDemand, so that the request would never be taken up.",
                    f"Add ms.OnDemand() to it in {spec.file}.",
                )
            )
        if offer is not None and given:
            faults.append(Fault("params", "are for steps, and a model that is offered runs none of them."))
        if "\0" in request_id:
            faults.append(Fault("request_id", "holds a NUL, which not every database can keep."))
        for name, count in Counter(ref.dataset for ref in data).items():
            if count > 1:
                faults.append(
                    Fault(f"dataset {name!r}", f"is pinned {count} times.", "Name one version of it.")
                )
        pinned: dict[str, int] = {}
        for ref in data:
            if ref.dataset not in {each.name for each in spec.datasets}:
                faults.append(Fault(str(ref), f"product {product!r} reads no dataset of that name."))
                continue
            try:
                pinned[ref.dataset] = find_version(tx, ref).number
            except MainspringError as error:
                faults.append(Fault(str(ref), str(error)))
        if faults:
            raise Faults("The request", tuple(faults))
        told = [str(DataRef(name, number)) for name, number in pinned.items()]
        asked = TrainingRequest(
            request_id=request_id,
            product=product,
            params=given,
            data=pinned,
            actor=actor,
            reason=reason,
            at=workspace.clock.now(),
            offer=offer,
        )
        earlier = {each.request_id for each in tx.loop.requests(product, waiting=False)}
        known = tx.loop.request(asked)
        if known.product != product:
            raise Conflict(
                f"Request {request_id!r} is one for {known.product!r}: give this one an id of its own."
            )
        if known == asked and request_id not in earlier:
            tx.ledger.append(
                Event(
                    type=EventType.TRAINING_REQUESTED,
                    subject=product,
                    at=asked.at,
                    actor=actor,
                    reason=reason,
                    data={
                        "request": request_id,
                        "params": given,
                        "data": told,
                        **({} if offer is None else {"offer": msgspec.to_builtins(offer)}),
                    },
                )
            )
    return known


def _param_faults(spec: ProductSpec, given: Mapping[str, ParamValue]) -> list[Fault]:
    known = {f"{step.name}.{name}": value for step in spec.steps for name, value in step.params.items()}
    faults = []
    for name, value in given.items():
        if name not in known:
            faults.append(Fault(name, "is no param.", f"There are: {', '.join(sorted(known))}."))
        elif not _fits(value, known[name]):
            faults.append(
                Fault(name, f"is {value!r} of type {type(value).__name__}; its default is {known[name]!r}.")
            )
    return faults


def _fits(value: ParamValue, default: ParamValue) -> bool:
    """Whether a param's value has the type of its default; a whole number will do for a float."""
    if isinstance(value, int | float) and not -(2**63) <= value < 2**63:
        return False  # it could not travel to a worker, nor could NaN
    if value is None or default is None:
        return True
    return type(value) is type(default) or (type(value) is int and type(default) is float)
