"""Events: facts in the past tense. Each is written in the transaction that made it true."""

from __future__ import annotations

__all__ = ["Event", "EventType"]

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from mainspring.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class EventType(StrEnum):
    """Every kind of fact that the ledger can hold."""

    PRODUCT_DECLARED = "product.declared"
    DATA_VERSION_PUBLISHED = "data.version.published"
    DATA_VERSION_RETIRED = "data.version.retired"
    DATA_COMPACTED = "data.compacted"
    DATA_NAMED = "data.named"
    DATA_NAME_DROPPED = "data.name.dropped"
    DATA_SET_ASIDE = "data.rows.set_aside"
    BATCH_REFUSED = "data.batch.refused"
    SCORING_STARTED = "scoring.started"
    SCORING_FAILED = "scoring.failed"
    TRAINING_REQUESTED = "training.requested"
    CYCLE_STARTED = "cycle.started"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    CANDIDATE_JUDGED = "candidate.judged"
    MODEL_REGISTERED = "model.registered"
    MODEL_CHANGED = "model.changed"
    MODEL_RENAMED = "model.renamed"
    MODEL_DELETED = "model.deleted"
    MODEL_ALIAS_MOVED = "model.alias.moved"
    MODEL_VERSION_REGISTERED = "model.version.registered"
    MODEL_VERSION_CHANGED = "model.version.changed"
    MODEL_VERSION_STAGED = "model.version.staged"
    MODEL_VERSION_DELETED = "model.version.deleted"
    MODEL_VERSION_DAMAGED = "model.version.damaged"
    MODEL_VERSION_RESTORED = "model.version.restored"
    TRACKING_IMPORTED = "tracking.imported"
    TRACKING_EXPORTED = "tracking.exported"
    STORAGE_FREED = "storage.freed"
    MODEL_CARD_EDITED = "model.card.edited"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    APPROVAL_POLICY_DECLARED = "approval.policy.declared"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_GIVEN = "approval.given"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_PLANNED = "rollout.planned"
    ROLLOUT_ADVANCED = "rollout.advanced"
    ROLLOUT_PROMOTED = "rollout.promoted"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    ROLLOUT_EXPIRED = "rollout.expired"
    ROLLOUT_ARM_DROPPED = "rollout.arm.dropped"
    ROLLOUT_MEASURED = "rollout.measured"
    ROLLOUT_CERTIFIED = "rollout.certified"
    ROLLOUT_NOT_CERTIFIED = "rollout.not_certified"
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_RESUMED = "rollout.resumed"
    ROLLOUT_APPROVAL_ASKED = "rollout.approval.asked"
    ROLLOUT_APPROVED = "rollout.approved"
    ROLLOUT_ABORTED = "rollout.aborted"
    CYCLE_CLOSED = "cycle.closed"
    CYCLE_MEASURED = "cycle.measured"
    ALARM_RAISED = "alarm.raised"
    ALARM_CONFIRMED = "alarm.confirmed"
    ALARM_ACKNOWLEDGED = "alarm.acknowledged"
    ALARM_SNOOZED = "alarm.snoozed"
    ALARM_OVER = "alarm.over"
    TRIGGER_HELD = "trigger.held"
    SEGMENT_SEALED = "segment.sealed"
    LOG_DAMAGED = "log.damaged"
    LOG_RESTORED = "log.restored"
    LOG_LOSS_ACCEPTED = "log.loss.accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact, before the ledger has given it a place.

    Attributes
    ----------
    type : EventType
        What happened.
    subject : str
        The ref of what it happened to.
    at : datetime
        When, by the workspace's clock.
    actor : str
        Who or what did it: a person's name, or `loop`.
    reason : str
        Why, in words for people.
    data : Mapping
        The details, as JSON values; no wall-clock figures.
    """

    type: EventType
    subject: str
    at: datetime
    actor: str
    reason: str
    data: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("subject", "actor", "reason"):
            if "\0" in getattr(self, name):
                raise Invalid(f"The {name} holds a NUL, which not every database can keep: leave it out.")
