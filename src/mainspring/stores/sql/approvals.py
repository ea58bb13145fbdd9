"""Approval policies and approvals in SQL; both are only ever added to."""

# ruff: noqa: D102 - the methods are those of ApprovalStore

from __future__ import annotations

__all__ = ["SqlApprovalStore"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, select

from mainspring.approval import ApprovalPolicy
from mainspring.clock import parse_time, time_text
from mainspring.errors import Conflict
from mainspring.governance.approval import Answer, Approval, PolicyVersion
from mainspring.stores.sql.insert import add, insert
from mainspring.stores.sql.schema import approval_policies, approvals
from mainspring.stores.sql.texts import fields_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainspring.ref import ModelRef


@dataclass(frozen=True, slots=True)
class SqlApprovalStore:
    """`mainspring.governance.approval.ApprovalStore` in SQL."""

    connection: Connection

    def policy(self, product: str) -> PolicyVersion | None:
        found = self.policies(product)
        return found[-1] if found else None

    def policies(self, product: str) -> tuple[PolicyVersion, ...]:
        table = approval_policies
        statement = select(table).where(table.c.product == product).order_by(table.c.number)
        return tuple(map(_policy, self.connection.execute(statement)))

    def declare(self, policy: PolicyVersion) -> None:
        row = fields_of(policy) | {
            "policy": msgspec.json.encode(policy.policy).decode(),
            "declared_at": time_text(policy.declared_at),
        }
        if not add(self.connection, approval_policies, row):
            raise Conflict(
                f"Policy {policy.number} of {policy.product} was declared before. Declare the next one."
            )

    def add(self, approval: Approval) -> None:
        row = fields_of(approval) | {"answer": approval.answer.value, "at": time_text(approval.at)}
        self.connection.execute(insert(self.connection, approvals), row)

    def of(self, ref: ModelRef) -> tuple[Approval, ...]:
        table = approvals.c
        statement = (
            select(approvals)
            .where(table.product == ref.product, table.version == int(ref.version))
            .order_by(table.position)
        )
        return tuple(map(_approval, self.connection.execute(statement)))


def _policy(row: Row[Any]) -> PolicyVersion:
    return PolicyVersion(
        product=row.product,
        number=row.number,
        policy=msgspec.json.decode(row.policy, type=ApprovalPolicy | None),
        declared_at=parse_time(row.declared_at),
    )


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        product=row.product,
        version=row.version,
        about=row.about,
        answer=Answer(row.answer),
        actor=row.actor,
        reason=row.reason,
        policy=row.policy,
        at=parse_time(row.at),
    )
