"""Telling a person that a run failed: by a webhook, by e-mail, or both. Configuration by environment only.

    DIAGNOSTIC_ALERT_WEBHOOK     address that takes a JSON object {"text": …} (Mattermost, Slack, Tchap bridge…)
    DIAGNOSTIC_ALERT_EMAIL       recipients, separated by commas
    DIAGNOSTIC_SMTP              smtp[s]://user:password@host:port; without `s`, STARTTLS unless DIAGNOSTIC_SMTP_PLAIN=1
    DIAGNOSTIC_ALERT_FROM        sender; the first recipient when absent
    DIAGNOSTIC_UI                address of the UI, to link to the run

These values are secrets: none is ever logged, and the message itself is cleaned of anything that looks like one.
"""

import os
import re
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import dagster as dg
import httpx

SECONDS = 15.0
SECRET = re.compile(r"(?i)\b((?:api[_-]?key|token|secret|password|passwd|authorization)\s*[=:]\s*)\S+")
CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@")


@dataclass(frozen=True)
class Channels:
    """Where alerts go. `repr` hides all of it: a traceback prints it."""

    webhook: str | None = field(default=None, repr=False)
    recipients: tuple[str, ...] = field(default=(), repr=False)
    smtp: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    starttls: bool = True
    ui: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Channels":
        recipients = tuple(a.strip() for a in environment.get("DIAGNOSTIC_ALERT_EMAIL", "").split(",") if a.strip())
        return cls(
            webhook=environment.get("DIAGNOSTIC_ALERT_WEBHOOK") or None,
            recipients=recipients,
            smtp=environment.get("DIAGNOSTIC_SMTP") or None,
            sender=environment.get("DIAGNOSTIC_ALERT_FROM") or (recipients[0] if recipients else None),
            starttls=environment.get("DIAGNOSTIC_SMTP_PLAIN") != "1",
            ui=environment.get("DIAGNOSTIC_UI", "").rstrip("/"),
        )


def cleaned(text: str) -> str:
    """`text` without passwords in addresses nor `token=…`."""
    return SECRET.sub(r"\1***", CREDENTIALS.sub(r"\1***@", text))


def message(job: str, run_id: str, error: str, ui: str = "") -> str:
    """The French text of an alert: which run, why, where to look."""
    where = f"{ui}/runs/{run_id}" if ui else f"exécution {run_id}"
    lines = [f"Le traitement « {job} » a échoué.", cleaned(error)[:2000], f"Voir : {where}"]
    lines.append("Les produits précédents sont restés en place.")
    return "\n".join(lines)


def send(text: str, subject: str, channels: Channels) -> list[str]:
    """Send to every configured channel; returns the names of those that were reached.

    Raises RuntimeError, without the address, for a channel that failed, once all have been tried.
    """
    reached, failed = [], []
    if channels.webhook:
        try:
            httpx.post(channels.webhook, json={"text": text}, timeout=SECONDS).raise_for_status()
            reached.append("webhook")
        except httpx.HTTPError as error:
            failed.append(f"webhook ({type(error).__name__})")
    if channels.recipients and channels.smtp:
        try:
            _send_email(text, subject, channels)
            reached.append("e-mail")
        except (OSError, smtplib.SMTPException) as error:
            failed.append(f"e-mail ({type(error).__name__})")
    if failed:
        # `from None`: the cause would print the address.
        raise RuntimeError(f"Alerte non envoyée : {', '.join(failed)}.") from None
    return reached


def _send_email(text: str, subject: str, channels: Channels) -> None:
    parts = urlsplit(channels.smtp)
    secure = parts.scheme == "smtps"
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, channels.sender, ", ".join(channels.recipients)
    mail.set_content(text)
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with kind(parts.hostname, parts.port or (465 if secure else 587), timeout=SECONDS) as server:
        if channels.starttls and not secure:
            server.starttls()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)


@dg.run_failure_sensor(
    name="alerte_echec",
    description="Prévient par webhook ou par e-mail quand une exécution échoue (DIAGNOSTIC_ALERT_WEBHOOK, "
    "DIAGNOSTIC_ALERT_EMAIL). Sans configuration, ne fait rien.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def alert_on_failure(context: dg.RunFailureSensorContext):
    channels = Channels.from_environment()
    run = context.dagster_run
    text = message(run.job_name, run.run_id, failure_text(context), channels.ui)
    reached = send(text, f"Diagnostic CLS : échec de {run.job_name}", channels)
    context.log.info(f"Alerte envoyée par : {', '.join(reached)}" if reached else "Aucune alerte configurée.")


def failure_text(context: dg.RunFailureSensorContext) -> str:
    """What failed, by asset, in the words of the error and not of its traceback."""
    found = []
    for event in context.get_step_failure_events():
        error = event.event_specific_data.error
        cause = error.cause or error
        found.append(f"{event.step_key} : {cause.message.strip()}")
    return "\n".join(found) or context.failure_event.message or "Cause inconnue."
