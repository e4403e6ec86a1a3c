"""Where requests go and with which key: rules for base URLs, and texts that never hold the key.

A recipe may name only this machine; every other address comes from the environment, so that a recipe from a stranger
cannot send prompts or keys elsewhere (`specs/reliability.md`, section 3.4). Contacts nothing.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from pipeline.errors import PrerequisiteError

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
"""The official client's default."""

QUOTED_CHARACTERS: Final = 300
_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata"})
_METADATA_ADDRESSES = frozenset({ipaddress.ip_address("fd00:ec2::254")})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked base URL with its key.

    Args:
        base: without a slash at the end, user name, password, query or fragment; fit to print.
        key: sent to this origin only; None if the server wants none.
    """

    base: str
    key: SecretStr | None = field(default=None)

    @property
    def root(self) -> str:
        """Return the base without its last segment `/v1`, where vLLM has its own routes."""
        return self.base.removesuffix("/v1")

    def scrub(self, text: str) -> str:
        """Return a server's words on one line, without the key in plain or base64, at most 300 characters."""
        if self.key is not None:
            plain = self.key.get_secret_value()
            for secret in (plain, base64.b64encode(plain.encode()).decode().rstrip("=")):
                text = text.replace(secret, "[key]")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"


def check_url(url: str) -> str:
    """Return a base URL without a slash at the end.

    Raises:
        ValueError: for other schemes than http and https, http to another machine, link-local and metadata addresses,
            user name or password, query or fragment. The text quotes scheme and host only.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the base URL cannot be read") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("a base URL begins with 'https://' (or with 'http://' on this machine) and names a host")
    if "@" in parts.netloc:
        raise ValueError(f"the base URL for host '{host}' holds a user name or password; leave it out")
    if parts.query or parts.fragment:
        raise ValueError(f"the base URL for host '{host}' has a query or fragment; leave it out")
    if _is_metadata(host):
        raise ValueError(f"host '{host}' is link-local or a metadata service and is never contacted")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError(f"host '{host}' is another machine: use 'https://', or a tunnel to a port on 127.0.0.1")
    return _joined(parts, host, port)


def is_loopback(url: str) -> bool:
    """Return True for `localhost`, 127.0.0.0/8 and ::1."""
    host = urlsplit(url.strip()).hostname or ""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _joined(parts: SplitResult, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _is_metadata(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host in _METADATA_HOSTS
    return address.is_link_local or address in _METADATA_ADDRESSES


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def resolve_endpoint(
    base_url: str | None, base_url_env: str, api_key_env: str, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """Return the endpoint from the recipe's URL, else from the environment, else OpenAI's.

    Raises:
        PrerequisiteError: if the URL from the environment is refused, or a key is missing or cannot be sent.
    """
    from_environment = environment.get(base_url_env, "").strip()
    try:
        base = check_url(base_url or from_environment or DEFAULT_BASE_URL)
    except ValueError as error:
        raise PrerequisiteError(f"environment variable {base_url_env}: {error}") from None
    key = environment.get(api_key_env, "").strip()
    if not key and not is_loopback(base):
        raise PrerequisiteError(f"environment variable {api_key_env} is not set; {base} needs a key")
    if not all("!" <= c <= "~" for c in key):
        raise PrerequisiteError(f"environment variable {api_key_env} holds characters that no HTTP header can carry")
    return Endpoint(base, SecretStr(key) if key else None)
