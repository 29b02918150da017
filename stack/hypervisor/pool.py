"""The pool's domains in libvirt: defined, renewed, removed. Never started or stopped here."""

import base64
import contextlib
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from stack.hypervisor import domain_xml
from stack.hypervisor.domain_xml import DomainSpec, Kind
from stack.hypervisor.errors import HypervisorError
from stack.image.values import Image

_JOIN_DOMAIN = b"virtscale-join-v1:"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_OWNER = "virtscale"
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


@dataclass(frozen=True)
class Defined:
    """What `define_pool` did, by domain name."""

    added: tuple[str, ...]
    renewed: tuple[str, ...]
    unchanged: tuple[str, ...]
    outdated: tuple[str, ...]
    """Active, so their old definition stays until they are next defined while inactive."""
    removed: tuple[str, ...]


@dataclass(frozen=True)
class PoolSpec:
    """What the pool's domains have in common."""

    pool: str
    image: Image
    kind: Kind
    dispatcher: str
    """HOST:PORT as a guest reaches it; on the user-mode network the host is 10.0.2.2."""
    logs: Path
    """Directory of the consoles' output."""
    prefix: str = "vs"
    tier: str = "cold"
    vcpus: int = 1
    memory_mib: int = 192
    network: str | None = None
    gives_files_away: bool = False
    extra: tuple[tuple[str, str], ...] = ()
    """More settings for the worker, by credential name, such as `("slots", "2")`."""


@dataclass(frozen=True)
class DomainSecrets:
    """What one domain alone is told, by credential name: in its definition, or in files."""

    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, Path] = field(default_factory=dict)


def join_token(key: bytes, worker_id: str) -> str:
    """What a guest shows to the dispatcher: only this worker's, and worthless for another."""
    digest = hmac.digest(key, _JOIN_DOMAIN + worker_id.encode(), hashlib.sha256)
    return "v1." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def domain_names(common: PoolSpec, count: int) -> list[str]:
    """`<prefix>-1` to `<prefix>-<count>`."""
    return [f"{common.prefix}-{number}" for number in range(1, count + 1)]


def domain_specs(
    common: PoolSpec,
    count: int,
    join_key: bytes,
    secrets: Mapping[str, DomainSecrets] | None = None,
) -> list[DomainSpec]:
    """The specifications of `domain_names`; `secrets` by those names.

    Raises:
        HypervisorError: when the prefix cannot be a domain's name.

    """
    if not _NAME.fullmatch(common.prefix):
        raise HypervisorError(
            f"domain name prefix {common.prefix!r}: use lower-case letters, digits, '.', '_', '-', "
            "at most 61, beginning with a letter or digit"
        )
    image = common.image
    specs = []
    for name in domain_names(common, count):
        own = (secrets or {}).get(name, DomainSecrets())
        credentials = {
            **dict(common.extra),
            **own.credentials,
            "dispatcher": common.dispatcher,
            "worker-id": name,
            "join-token": join_token(join_key, name),
            "generation": image.generation,
        }
        for in_file in own.files:
            credentials.pop(in_file, None)
        specs.append(
            DomainSpec(
                name=name,
                pool=common.pool,
                tier=common.tier,
                generation=image.generation,
                kind=common.kind,
                kernel=image.kernel,
                initramfs=image.initramfs,
                root=image.root,
                kernel_arguments=image.kernel_arguments,
                console_log=common.logs / f"{name}.log",
                credentials=credentials,
                credential_files=own.files,
                vcpus=common.vcpus,
                memory_mib=common.memory_mib,
                network=common.network,
                gives_files_away=common.gives_files_away,
            )
        )
    return specs


def define_pool(
    connection: libvirt.virConnect, specs: Sequence[DomainSpec], *, is_in_use: bool = False
) -> Defined:
    """Makes the pool's definitions equal to `specs`; doing it again changes nothing.

    Inactive domains are renewed when their definition differs, inactive surplus ones of the same
    pool removed, active ones left as they are. With `is_in_use` a scaler is at work: then active
    ones, too, get the definition that their next start follows, and what the scaler wrote down
    about a domain stays.

    Raises:
        HypervisorError: when a name or the pool is taken by domains that are not ours, before any
            change; or with libvirt's reason, after removing what was added.

    """
    added: list[libvirt.virDomain] = []
    try:
        return _define_pool(connection, specs, added, is_in_use=is_in_use)
    except libvirt.libvirtError as error:
        for domain in added:
            with contextlib.suppress(libvirt.libvirtError):
                domain.undefineFlags(_UNDEFINE)
        raise HypervisorError(
            f"libvirt at {connection.getURI()} refused to define the pool: {error}"
        ) from None


def _define_pool(
    connection: libvirt.virConnect,
    specs: Sequence[DomainSpec],
    added: list[libvirt.virDomain],
    *,
    is_in_use: bool,
) -> Defined:
    present = {domain.name(): domain for domain in connection.listAllDomains()}
    pools = {spec.pool for spec in specs}
    ours = _ours(connection, present, specs)
    done: dict[str, list[str]] = {
        "added": [], "renewed": [], "unchanged": [], "outdated": [], "removed": []
    }  # fmt: skip
    for spec in specs:
        _prepare_log(spec.console_log)
        action = _define(connection, present.get(spec.name), spec, is_in_use=is_in_use)
        if action == "added":
            added.append(connection.lookupByName(spec.name))
        done[action].append(spec.name)
    wanted = {spec.name for spec in specs}
    for name, pool in sorted(ours.items()):
        if pool in pools and name not in wanted and not present[name].isActive():
            present[name].undefineFlags(_UNDEFINE)
            done["removed"].append(name)
    return Defined(**{action: tuple(names) for action, names in done.items()})


def _ours(
    connection: libvirt.virConnect,
    present: Mapping[str, libvirt.virDomain],
    specs: Sequence[DomainSpec],
) -> dict[str, str]:
    """Pools of the domains that virtscale made, by name.

    Raises:
        HypervisorError: when the specifications collide with somebody's own domains.

    """
    marked = {name: found for name, domain in present.items() if (found := pool_of(domain))}
    ours = {name: found for name, found in marked.items() if _is_made_by_us(present[name])}
    for spec in specs:
        if spec.name in present and ours.get(spec.name) != spec.pool:
            owner = f"belongs to the pool {ours[spec.name]!r}" if spec.name in ours else (
                "is not of virtscale"
            )  # fmt: skip
            raise HypervisorError(
                f"a domain named {spec.name!r} exists and {owner}; it is not touched. "
                "Choose another pool with --pool NAME: its domains are named vs-NAME-1 and so on"
            )
    for name, found in sorted(marked.items()):
        if name not in ours and found in {spec.pool for spec in specs}:
            whose = "is a clone" if _of(present[name], "template") else "was not made by virtscale"
            raise HypervisorError(
                f"the domain {name!r} at {connection.getURI()} is in the pool {found!r} and "
                f"{whose}: use the pool as it is, without --define, or choose "
                "another with --pool NAME"
            )
    return ours


def undefine_pool(connection: libvirt.virConnect, pool: str) -> list[str]:
    """Forgets the pool's inactive domains that virtscale made; their names.

    Raises:
        HypervisorError: with libvirt's reason.

    """
    removed = []
    try:
        for domain in connection.listAllDomains():
            if pool_of(domain) == pool and _is_made_by_us(domain) and not domain.isActive():
                domain.undefineFlags(_UNDEFINE)
                removed.append(domain.name())
    except libvirt.libvirtError as error:
        raise HypervisorError(
            f"libvirt at {connection.getURI()} refused to undefine the pool: {error}"
        ) from None
    return sorted(removed)


def generations_in_use(connection: libvirt.virConnect) -> set[str]:
    """Images that domains run or would boot from, of any pool: not to be pruned."""
    areas = (libvirt.VIR_DOMAIN_AFFECT_CURRENT, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    return {
        value
        for domain in connection.listAllDomains()
        for area in areas
        if (value := _attributes(domain, area).get("generation"))
    }


def pool_of(domain: libvirt.virDomain) -> str | None:
    """The domain's pool; None when it is not ours."""
    return _of(domain, "pool")


def _is_made_by_us(domain: libvirt.virDomain) -> bool:
    """True when it is one of these definitions.

    Somebody's own domain, lent to a pool, says no owner; a clone names its template, and has disks
    that `virtscale pool` alone knows how to remove.
    """
    return _of(domain, "owner") == _OWNER and _of(domain, "template") is None


def _of(domain: libvirt.virDomain, attribute: str) -> str | None:
    return _attributes(domain).get(attribute)


def _attributes(
    domain: libvirt.virDomain, area: int = libvirt.VIR_DOMAIN_AFFECT_CURRENT
) -> dict[str, str]:
    """Our metadata, of what runs or of the definition; empty when it carries none."""
    if area == libvirt.VIR_DOMAIN_AFFECT_CONFIG and not domain.isPersistent():
        return {}
    kind, address = libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.METADATA_URI
    try:
        text = domain.metadata(kind, address, area)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_NO_DOMAIN_METADATA,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            return {}
        raise
    return dict(ElementTree.fromstring(text).attrib)


def _define(
    connection: libvirt.virConnect,
    domain: libvirt.virDomain | None,
    spec: DomainSpec,
    *,
    is_in_use: bool,
) -> str:
    if domain is None:
        connection.defineXML(domain_xml.render(spec)).setAutostart(False)
        return "added"
    present = domain_xml.key_of(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if present == domain_xml.definition_key(spec):
        return "unchanged"
    if is_in_use:
        _redefine(connection, domain, spec)
        return "renewed"
    if domain.isActive():
        return "outdated"
    # A saved state holds the old image's memory and would fail on the new disk.
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()
    domain.undefineFlags(_UNDEFINE)
    connection.defineXML(domain_xml.render(spec)).setAutostart(False)
    return "renewed"


def _redefine(connection: libvirt.virConnect, domain: libvirt.virDomain, spec: DomainSpec) -> None:
    """Changes the definition of a domain that may run, or be started meanwhile.

    What the definition does not say of itself (the operation under way, the scaler's token) is
    the scaler's, and is put back.
    """
    text = domain_xml.render(spec, identity=domain.UUIDString())
    written = _attributes(domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    renewed = connection.defineXML(text)
    defined = _attributes(renewed, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    kept = {name: value for name, value in written.items() if name not in defined}
    if kept:
        element = ElementTree.Element("domain", {**defined, **kept})
        renewed.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            ElementTree.tostring(element, encoding="unicode"),
            "virtscale",
            domain_xml.METADATA_URI,
            libvirt.VIR_DOMAIN_AFFECT_CONFIG,
        )


def _prepare_log(path: Path) -> None:
    # QEMU may append to a file where it may not create one; on another machine there is no file.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o644, exist_ok=True)
