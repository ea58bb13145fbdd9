"""Alerts as a mail over SMTP, with the plots of the alarms attached."""

from __future__ import annotations

__all__ = ["mail_of", "send_mail"]

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from mainspring.sinks.alert import Message, NotDelivered
from mainspring.sinks.route import Email


def send_mail(route: Email, message: Message) -> str:
    """Send one mail.

    Returns
    -------
    str
        Which recipients were refused, where others have it; empty when all have it.

    Raises
    ------
    NotDelivered
        Nobody has it.
    """
    host, _, port = route.server.partition(":")
    made = mail_of(route, message)
    try:
        if route.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                host, int(port), timeout=route.timeout_s, context=ssl.create_default_context()
            )
        else:
            session = smtplib.SMTP(host, int(port), timeout=route.timeout_s)
        with session:
            if route.security == "starttls":
                session.starttls(context=ssl.create_default_context())
            if route.user:
                session.login(route.user, route.password)
            refused = session.send_message(made)
    except smtplib.SMTPAuthenticationError:
        raise NotDelivered("The mail server refused the user or the password.") from None
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"The mail server answered with {error.smtp_code}.") from None
    except smtplib.SMTPRecipientsRefused:
        raise NotDelivered("The mail server refused every recipient.") from None
    except (TimeoutError, smtplib.SMTPServerDisconnected):
        raise NotDelivered(
            f"The mail server hung up, or did not answer within {route.timeout_s:g} seconds."
        ) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise NotDelivered(f"The mail server could not be spoken to: {why}.") from None
    return f"Refused by the mail server: {', '.join(sorted(refused))}." if refused else ""


def mail_of(route: Email, message: Message) -> EmailMessage:
    """Write the mail; its id is that of the newest event, the same when it is sent again."""
    made = EmailMessage()
    made["Subject"] = f"[mainspring] {message.title}"
    made["From"] = route.sender
    made["To"] = ", ".join(route.recipients)
    made["Date"] = format_datetime(message.alerts[-1].at)
    made["Message-ID"] = f"<{message.alerts[-1].event_id}@mainspring>"
    made.set_content(message.text)
    for alarm_id, picture in message.pictures.items():
        made.add_attachment(
            picture.encode(), maintype="image", subtype="svg+xml", filename=f"alarm-{alarm_id}.svg"
        )
    return made
