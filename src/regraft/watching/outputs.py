"""Telling others of an event: an HTTP address (webhook), or an MQTT broker of a home."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from regraft.errors import MissingExtraError, UsageError
from regraft.watching.states import Event

_TIMEOUT_S = 10.0


class Output(Protocol):
    """Somebody who is told of events; `name` is the same after a restart."""

    @property
    def name(self) -> str:
        """Under which the history remembers what was told."""

    def send(self, camera: str, event: Event) -> None:
        """Tell of one event.

        Raises:
            OSError: it could not be reached.
        """


def message(camera: str, event: Event) -> dict[str, Any]:
    """What others are told: camera, state, the state before, times in ISO 8601 and UTC."""
    return {"camera": camera} | event.to_dict()


class Webhook:
    """POSTs JSON to an http or https address."""

    def __init__(self, url: str) -> None:
        """Raises UsageError: it is no such address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(f"the webhook is {url!r}, expected http://HOST/PATH or https://...")
        self._url = url

    @property
    def name(self) -> str:
        """The address."""
        return self._url

    def send(self, camera: str, event: Event) -> None:
        """POST one event; an answer of 400 and above counts as not told."""
        request = urllib.request.Request(  # noqa: S310 - checked above
            self._url,
            data=json.dumps(message(camera, event)).encode(),
            headers={"content-type": "application/json", "user-agent": "regraft"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            raise OSError(f"{self._url} answered {error.code}") from error


class Mqtt:
    """Publishes to "PREFIX/CAMERA/event", and the state, retained, to "PREFIX/CAMERA/state"."""

    def __init__(self, url: str) -> None:
        """An address such as mqtt://user:password@host:1883/regraft (mqtts for TLS).

        Raises:
            UsageError: it is no such address.
            MissingExtraError: the extra `mqtt` is not installed.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise UsageError(f"the broker is {url!r}, expected mqtt://HOST[:PORT][/PREFIX]")
        try:
            import paho.mqtt.publish  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("telling an MQTT broker", "mqtt") from error
        self._parts = parts
        self._prefix = parts.path.strip("/") or "regraft"

    @property
    def name(self) -> str:
        """The address without the password."""
        return f"mqtt://{self._parts.hostname}:{self._port}/{self._prefix}"

    @property
    def _port(self) -> int:
        return self._parts.port or (8883 if self._parts.scheme == "mqtts" else 1883)

    def send(self, camera: str, event: Event) -> None:
        """Publish one event."""
        import paho.mqtt.publish

        topic = f"{self._prefix}/{_topic(camera)}"
        user = self._parts.username
        told = message(camera, event)
        # Any: paho takes a context, its annotation names its older dictionary of paths only.
        tls: Any = ssl.create_default_context() if self._parts.scheme == "mqtts" else None
        paho.mqtt.publish.multiple(
            [
                {"topic": f"{topic}/event", "payload": json.dumps(told), "qos": 1},
                {"topic": f"{topic}/state", "payload": event.state, "qos": 1, "retain": True},
            ],
            hostname=self._parts.hostname or "",
            port=self._port,
            auth=(
                {"username": unquote(user), "password": unquote(self._parts.password or "")}
                if user
                else None
            ),
            tls=tls,
        )


def _topic(camera: str) -> str:
    """A camera's name as one level of a topic."""
    for character in "/+#":
        camera = camera.replace(character, "_")
    return camera
