"""Which requests of browsers are served: same origin only, and by a name that is expected. Pure.

A browser says from which page a request comes (`Origin`, `Sec-Fetch-Site`) and to which name it was
sent (`Host`). The name matters because a stranger's name may be made to resolve to this address
(DNS rebinding): to the browser that stranger's page then is of the same origin. No stranger can do
that with an address, nor with `localhost`.
"""

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_fault(host: str, page_hosts: Collection[str]) -> str | None:
    """What is wrong with the `Host` header of a request for a page; None: nothing."""
    name = _host_and_port(host, "http")
    if name is None:
        return "the header Host is missing or is none"
    if _is_address(name[0]) or name[0] == "localhost" or name[0] in page_hosts:
        return None
    return (
        f"Host = {name[0][:80]!r}: pages are not served by this name; open the page by an address "
        "or as localhost, or add the name to page_hosts in the scaler's configuration"
    )


def is_of_a_page(environ: Mapping[str, Any]) -> bool:
    """True when a browser sends it for a page. Programs send neither header."""
    return bool(environ.get("HTTP_ORIGIN") or environ.get("HTTP_SEC_FETCH_SITE"))


def page_fault(environ: Mapping[str, Any], page_hosts: Collection[str]) -> str | None:
    """Why a request is not one of the scaler's own page; None: it is, or is of no page at all."""
    origin = str(environ.get("HTTP_ORIGIN") or "")
    site = str(environ.get("HTTP_SEC_FETCH_SITE") or "")
    if site and site != "same-origin":
        return f"Sec-Fetch-Site = {site[:40]!r}: requests of other web pages are refused"
    if not origin and not site:
        return None
    host = str(environ.get("HTTP_HOST") or "")
    if origin and not _is_same(origin, host):
        return f"Origin = {origin[:80]!r}: requests of other web pages are refused"
    return host_fault(host, page_hosts)


def read_fault(environ: Mapping[str, Any], page_hosts: Collection[str]) -> str | None:
    """Why a reader of the page's data is refused; None: it is not. Programs are not."""
    is_typed = environ.get("HTTP_SEC_FETCH_SITE") == "none" and not environ.get("HTTP_ORIGIN")
    if not is_typed:
        fault = page_fault(environ, page_hosts)
        if fault is not None:
            return fault
    return host_fault(str(environ.get("HTTP_HOST") or ""), page_hosts)


def _is_same(origin: str, host: str) -> bool:
    """True when the origin's host and port are those that the request was sent to.

    Its scheme is not compared: before a proxy that ends TLS it is another one than ours.
    """
    scheme, found, authority = origin.partition("://")
    if not found or scheme not in _DEFAULT_PORTS:
        return False
    asked = _host_and_port(authority, scheme)
    return asked is not None and asked == _host_and_port(host, scheme)


def _host_and_port(authority: str, scheme: str) -> tuple[str, int] | None:
    if not authority or any(sign in authority for sign in "/?#@\\ \t,"):
        return None
    try:
        parts = urlsplit(f"//{authority}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name:
        return None
    return name.removesuffix("."), _DEFAULT_PORTS[scheme] if port is None else port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
