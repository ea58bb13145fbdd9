"""Each route says what happened in its receiver's words, and whatever a receiver does is told and never raised."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.conftest import alert, message
from tests.sinks.receiving import Mailbox, Receiver, closed_port

from mainspring.sinks.alert import Message, NotDelivered
from mainspring.sinks.mail import mail_of
from mainspring.sinks.route import Email, PagerDuty, Route, Slack, Stdout, Webhook
from mainspring.sinks.send import send

EMPTY: Mapping[str, str] = {}


def email(box: Mailbox, *recipients: str, **more: str) -> Email:
    to = recipients or ("ops@example.org",)
    return Email(
        server=box.server, sender="ml@example.org", recipients=to, security="none", timeout_s=0.5, **more
    )


def test_a_webhook_is_given_a_cloud_event_for_each_alert(heard: Receiver) -> None:
    send(Webhook(url=heard.url), message(alert(1), alert(2)), EMPTY)
    first, second = heard.documents
    assert first.keys() == {
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data",
    }  # fmt: skip
    assert (first["specversion"], first["type"]) == ("1.0", "mainspring.alarm.raised")
    assert (first["source"], first["subject"]) == ("/products/tiny", "tiny@1")
    assert (first["id"], second["id"]) == (f"{1:032x}", f"{2:032x}")
    assert first["time"] == "2026-03-01T08:00:00Z"
    assert first["data"]["url"].startswith("https://ml.example.org/products/tiny/alarms/")
    headers, _ = heard.came[0]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert "webhook-signature" not in headers


def test_a_webhook_with_a_secret_is_signed_over_id_time_and_body(heard: Receiver) -> None:
    key = b"a key of twenty-four byt"
    secret = "whsec_" + base64.b64encode(key).decode()
    send(Webhook(url=heard.url, secret="${HOOK}"), message(), {"HOOK": secret})
    ((headers, content),) = heard.came
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == json.loads(content)["id"]


def test_slack_is_given_one_text_in_which_data_can_mention_nobody(heard: Receiver) -> None:
    send(Slack(url=heard.url), message(alert(1), alert(2)), EMPTY)
    (document,) = heard.documents
    text = document["text"]
    assert "<!channel>" not in text
    assert "&lt;!channel&gt;' more often &amp; more" in text
    assert text.count("Suspected: input drift of tiny@1") == 2
    assert f"<https://ml.example.org/products/tiny/alarms/{1:012x}|" in text


def test_pagerduty_has_one_incident_for_each_alarm_and_is_told_who_takes_it_up_and_when_it_is_over(
    heard: Receiver,
) -> None:
    taken = alert(1, type="alarm.acknowledged", actor="ana")
    grave = alert(2, state="confirmed", reason="x" * 2000)
    over = alert(1, type="alarm.over", reason="tiny@2 serves now")
    send(PagerDuty(key="${KEY}", url=heard.url), message(alert(1), taken, grave, over), {"KEY": "k1"})
    first, second, third, last = heard.documents
    assert {each["routing_key"] for each in heard.documents} == {"k1"}
    assert [each["event_action"] for each in heard.documents] == [
        *("trigger", "acknowledge", "trigger", "resolve"),
    ]
    assert last["dedup_key"] == first["dedup_key"]
    assert first["dedup_key"] == second["dedup_key"] != third["dedup_key"]
    assert (first["payload"]["severity"], third["payload"]["severity"]) == ("warning", "error")
    assert len(third["payload"]["summary"]) == 1024
    assert first["links"][0]["href"] == alert(1).url


def test_a_mail_goes_to_everybody_with_the_plot_attached(box: Mailbox) -> None:
    picture = '<svg xmlns="http://www.w3.org/2000/svg"><text>é</text></svg>'
    note = send(email(box, "a@example.org", "b@example.org"), message(picture=picture), EMPTY)
    ((recipients, mail),) = box.mails
    assert (note, recipients) == ("", ["a@example.org", "b@example.org"])
    assert mail["Subject"] == "[mainspring] Suspected: input drift of tiny@1"
    assert mail["Message-ID"] == f"<{1:032x}@mainspring>"
    body = mail.get_body()
    assert body is not None
    assert alert().advice in body.get_content()
    assert alert().url in body.get_content()
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == f"alarm-{1:012x}.svg"
    assert attached.get_content_type() == "image/svg+xml"
    assert ElementTree.fromstring(attached.get_content()).tag.endswith("svg")


def test_a_refused_recipient_keeps_the_mail_from_no_other_and_is_told(box: Mailbox) -> None:
    box.codes["TO:<gone@example.org>"] = "550"
    note = send(email(box, "gone@example.org", "b@example.org"), message(), EMPTY)
    assert [recipients for recipients, _ in box.mails] == [["b@example.org"]]
    assert note == "Refused by the mail server: gone@example.org."


def test_stdout_has_a_line_of_json_for_each_alert(capsys: pytest.CaptureFixture[str]) -> None:
    send(Stdout(), message(alert(1), alert(2)), EMPTY)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["alarm_id"] for line in lines] == [f"{1:012x}", f"{2:012x}"]


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_an_answer_other_than_2xx_is_no_delivery(heard: Receiver, status: int) -> None:
    heard.statuses = [status]
    with pytest.raises(NotDelivered, match=f"status {status}"):
        send(Slack(url=heard.url), message(), EMPTY)


def test_a_receiver_that_hangs_or_refuses_is_no_delivery_and_its_address_is_not_told(heard: Receiver) -> None:
    heard.statuses = [0]
    with pytest.raises(NotDelivered, match=r"within 0\.3 seconds"):
        send(Webhook(url=heard.url, timeout_s=0.3), message(), EMPTY)
    with pytest.raises(NotDelivered, match="could not be reached: ConnectError") as refused:
        send(Webhook(url=f"http://127.0.0.1:{closed_port()}/secret"), message(), EMPTY)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ({"MAIL": "451"}, "answered with 451"),
        ({"RCPT": "550"}, "refused every recipient"),
        ({"DATA": "554"}, "answered with 554"),
        ({"EHLO": "500", "HELO": "421"}, "answered with 421"),
    ],
)
def test_a_mail_server_that_refuses_is_no_delivery(box: Mailbox, codes: dict[str, str], told: str) -> None:
    box.codes = codes
    with pytest.raises(NotDelivered, match=told):
        send(email(box), message(), EMPTY)
    assert box.mails == []


def test_a_mail_server_that_is_silent_away_or_without_tls_is_no_delivery(box: Mailbox) -> None:
    box.silent = True
    with pytest.raises(NotDelivered, match=r"within 0\.5 seconds"):
        send(email(box), message(), EMPTY)
    box.silent = False
    for route, told in (
        (Email(server=box.server, sender="a@b", recipients=("c@d",)), "could not be spoken to"),
        (
            Email(server=box.server, sender="a@b", recipients=("c@d",), security="tls"),
            "could not be spoken to",
        ),
        (
            Email(server=f"127.0.0.1:{closed_port()}", sender="a@b", recipients=("c@d",)),
            "could not be spoken to",
        ),
        (email(box, user="u", password="p"), "could not be spoken to"),
    ):
        with pytest.raises(NotDelivered, match=told):
            send(route, message(), EMPTY)


@pytest.mark.parametrize(
    ("route", "environment"),
    [
        (Slack(url="${HOOK}"), {}),
        (Slack(url="${HOOK}"), {"HOOK": "file:///etc/passwd"}),
        (Slack(url="${HOOK}"), {"HOOK": "https://[::1"}),
        (Webhook(url="https://x", secret="${HOOK}"), {"HOOK": "not base64!"}),
        (Email(server="${HOOK}", sender="a@b", recipients=("c@d",)), {"HOOK": "mail"}),
        (Email(server="x:1", sender="a@b", recipients=("${HOOK}",)), {"HOOK": "c@d\nBcc: e@f"}),
    ],
)
def test_a_variable_that_is_not_there_or_wrong_is_no_delivery_and_its_text_is_not_told(
    route: Route, environment: dict[str, str]
) -> None:
    with pytest.raises(NotDelivered) as refused:
        send(route, message(), environment)
    assert all(text not in str(refused.value) for text in environment.values())


@given(st.text(), st.text(alphabet=st.characters(codec="utf-8")))
def test_whatever_stands_in_the_data_makes_a_mail(reason: str, kind: str) -> None:
    route = Email(server="x:1", sender="a@example.org", recipients=("b@example.org",))
    told = f"kind = {kind!r} {reason!r}"
    mail = mail_of(route, Message(alerts=(alert(reason=told),)))
    body = mail.get_body()
    assert body is not None
    assert mail.as_bytes()
