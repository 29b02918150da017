"""What the domains of a pool of the user's own tell their guests, made of the site's secrets."""

import contextlib
import os
import pwd
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from servicekit.config import ConfigError
from servicekit.lifecycle import StartError
from stack import certificates, privilege
from stack.certificates import Site
from stack.hypervisor import access, overlays
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.marks import Connection
from stack.paths import StateDirectory
from stack.site_secrets import AUTHORITY, SiteSecrets

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})")
_KEY = "tls-key"
_SHOWN = {"tls-ca": "(certificate)", "tls-cert": "(certificate)", _KEY: "(secret)"}


@dataclass(frozen=True)
class GuestFacts:
    """Where a guest finds the dispatcher, and by what it proves who it is."""

    site: Site
    has_key_files: bool
    """True: the key is left in its file, which QEMU runs as the right user to read."""
    state: StateDirectory | None = None
    """Where the site is, if it is the stack's own: its authority is made when it is missing."""

    @property
    def has_authority(self) -> bool:
        """True when certificates can be made."""
        return self.state is not None or self.site.ca.exists

    def announced(self, name: str, dispatcher: str) -> Credentials:
        """What `made` will make, with words in the place of certificates; nothing is made."""
        strings = {"worker-id": name, "dispatcher": dispatcher}
        if not self.has_authority:
            return Credentials(strings)
        told = {key: text for key, text in _SHOWN.items() if key not in self._files(name)}
        return Credentials({**strings, **told}, self._files(name))

    def made(self, name: str, dispatcher: str) -> Credentials:
        """The domain's credentials; its certificate is made, or renewed when half its life is over.

        Raises:
            StartError: the site's files cannot be used.

        """
        strings = {"worker-id": name, "dispatcher": dispatcher}
        if not self.has_authority:
            return Credentials(strings)
        try:
            if self.state is not None:
                _create(self.state)
            with _acting_as_owner(self.site.directory):
                if not self.site.ca.exists:
                    self.site.make_ca(AUTHORITY, time.time())
                tls = SiteSecrets(self.site).workers([name], time.time())[name].credentials()
        except OSError as error:
            raise StartError(f"{error.filename}: {error.strerror}") from None
        files = self._files(name)
        told = {key: text for key, text in tls.items() if key not in files}
        return Credentials({**strings, **told}, files)

    def _files(self, name: str) -> dict[str, str]:
        return {_KEY: str(self.site.pair("worker", name).key)} if self.has_key_files else {}


def facts(connection: Connection, uri: str, site: Site, state: StateDirectory | None) -> GuestFacts:
    """How guests there are told; `state` if the site is that of the stack.

    Raises:
        HypervisorError: with libvirt's reason.
        StartError: there is no user to run the stack as.

    """
    # QEMU of another user could not read the file, and would be given it for good if it could.
    has_key_files = overlays.is_here(uri) and _owner(site.directory) == _qemu_user(connection, uri)
    return GuestFacts(site, has_key_files, state)


def _owner(directory: Path) -> int:
    if directory.exists():
        return directory.stat().st_uid
    return privilege.account().pw_uid if os.geteuid() == 0 else os.geteuid()


def _create(state: StateDirectory) -> None:
    if os.geteuid() != 0:
        state.create()
        return
    user = privilege.account()
    privilege.own(state.root, user)
    with privilege.acting_as(user):
        state.create()


def _qemu_user(connection: Connection, uri: str) -> int:
    """As whom QEMU runs on this machine."""
    found = access.qemu_user(connection)
    if found is not None:
        return found[0]
    # A session's: as whom its libvirtd runs, who has made its socket.
    try:
        return os.stat(parse_qs(urlsplit(uri).query)["socket"][0]).st_uid
    except (OSError, KeyError):
        return os.geteuid()


@contextlib.contextmanager
def _acting_as_owner(directory: Path) -> Iterator[None]:
    """What root makes there belongs to the stack's user, who has to read it."""
    owner = _owner(directory)
    if os.geteuid() != 0 or owner == 0:
        yield
        return
    with privilege.acting_as(pwd.getpwuid(owner)):
        yield


def check_dispatcher(address: str, site: Site) -> None:
    """That guests can reach and believe the dispatcher there.

    Raises:
        ConfigError: no address, or the dispatcher's certificate is of other names.

    """
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise ConfigError(
            [f"--dispatcher {address}: give HOST:PORT as the guests reach it, such as "
             "192.0.2.10:15052"]
        )  # fmt: skip
    host = found[1].strip("[]")
    certificate = site.pair("server").certificate
    if not certificate.exists():
        return
    names = certificates.facts(certificate).names
    if host not in names and not any(
        name.startswith("*.") and name[1:] == host[host.find(".") :] for name in names
    ):
        raise ConfigError(
            [f"--dispatcher {address}: {certificate} is not for {host!r}, so no guest would "
             f"believe it; make one that is: virtscale certs server {host} --force"]
        )  # fmt: skip
