"""Taking somebody's domain into a pool and giving it back, as definitions. Pure."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from stack.hypervisor import credentials, definition, pool_record
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.pool_record import OWNER, Record

POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
LONGEST_WORKER_ID = 128
USER_NETWORK_DISPATCHER = "10.0.2.2:15052"
"""The stack's port for guests, as they reach it on QEMU's user-mode network."""

_SECRET = re.compile(r"(virtscale\.(?:tls-key|join-token)=)[^<]*")
_THEIRS = re.compile(
    r"(io\.systemd\.credential[^:<]*:(?!virtscale\.)[^=<]+=)[^<]*|(passwd=\")[^\"]*"
)
_LONG = re.compile(r"(virtscale\.tls-[a-z]+=)[^<]{60,}")
_KEPT = ("scaler", "operation", "operation_since", "token", "generation")


@dataclass(frozen=True)
class Change:
    """A definition before and after, both written in the same way."""

    before: str
    after: str

    @property
    def is_of_the_machine(self) -> bool:
        """True when more than metadata differs: it counts from the next start on."""
        return _without_metadata(self.before) != _without_metadata(self.after)

    def difference(self, name: str) -> str:
        """What changes, for a person: no secret is in it."""
        lines = difflib.unified_diff(
            _shown(self.before), _shown(self.after), f"{name} (now)", f"{name} (then)", lineterm=""
        )
        return "\n".join(lines)


def adopt(
    xml: str, *, pool: str, tier: str, wanted: Credentials, scaler: str = ""
) -> Change:  # fmt: skip
    """The definition of a domain that is taken in, or that has been and gets new credentials.

    `scaler` is our own scaler's name; empty: it has none yet.

    Raises:
        HypervisorError: the text is no definition.

    """
    root = definition.parse(xml)
    before = definition.render(root)
    old = pool_record.of(root)
    if old is not None:
        credentials.remove(root, old.added)
    added = credentials.add(root, wanted)
    kept = {
        name: value
        for name, value in pool_record.membership(root).items()
        if name in _KEPT and scaler
    }
    pool_record.write(
        root, {"pool": pool, "tier": tier, **kept}, Record("adopted", pool, added=added)
    )
    return Change(before, definition.render(root))


def release(xml: str) -> Change:
    """The definition of a domain that is given back: as it was, but for what others changed."""
    root = definition.parse(xml)
    before = definition.render(root)
    record = pool_record.of(root)
    if record is not None:
        credentials.remove(root, record.added)
    pool_record.write(root, None, None)
    return Change(before, definition.render(root))


def adoption_faults(
    xml: str, *, pool: str, wanted: Credentials, scaler: str = ""
) -> list[str]:  # fmt: skip
    """Why a domain cannot be a member of the pool, each with the fix; empty: it can."""
    root = definition.parse(xml)
    name = definition.name_of(root)
    faults = _belonging_faults(root, name, pool, scaler)
    if faults:
        return faults
    if len(name) > LONGEST_WORKER_ID or not name.isprintable():
        faults.append(
            f"its name cannot be a worker's: it needs 1 to {LONGEST_WORKER_ID} printable "
            "characters; rename it (virsh domrename)"
        )
    if root.find("features/acpi") is None:
        faults.append(
            "it has no ACPI, so its guest would never notice the power button; add <acpi/> to "
            f"<features> (virsh edit {name})"
        )
    if (root.findtext("on_poweroff") or "destroy").strip() not in ("destroy", "preserve"):
        faults.append(
            "it starts again when it is shut down; set <on_poweroff>destroy</on_poweroff> "
            f"(virsh edit {name})"
        )
    told = credentials.found(root)
    if told.get("worker-id", name) != name:
        faults.append(
            f"it tells its guest the worker id {told['worker-id']!r}, and the pool knows workers "
            f"by their domain's name; correct or remove that entry (virsh edit {name})"
        )
    mode = root.find("os/smbios")
    if wanted.strings and mode is not None and mode.get("mode") == "host":
        faults.append(
            "it shows its guest the host's SMBIOS (<smbios mode='host'/>), which hides what "
            "virtscale tells it; use mode='sysinfo', or --no-credentials"
        )
    return faults


def release_faults(xml: str) -> list[str]:
    """Why a domain cannot be given back."""
    root = definition.parse(xml)
    record, attributes = pool_record.of(root), pool_record.membership(root)
    if attributes.get("owner") == OWNER or (record is not None and record.kind == "clone"):
        pool = attributes.get("pool") or (record.pool if record else "")
        return [f"virtscale made it; remove it with: virtscale pool destroy {pool}"]
    if record is not None and record.kind == "template":
        return ["it is the template of clones; destroy their pools, then it is free"]
    if not attributes and record is None:
        return ["it is in no pool"]
    return []


def has_user_network(xml: str) -> bool:
    """True when the guest reaches the host's loopback as 10.0.2.2."""
    interfaces = definition.parse(xml).findall("devices/interface")
    return any(one.get("type") == "user" for one in interfaces)


def _belonging_faults(root: ElementTree.Element, name: str, pool: str, scaler: str) -> list[str]:
    record, attributes = pool_record.of(root), pool_record.membership(root)
    if record is not None and record.kind == "template":
        return ["it is the template of clones and must not be started; clone it instead"]
    if attributes.get("owner") == OWNER or (record is not None and record.kind == "clone"):
        return [f"virtscale made it for the pool {attributes.get('pool', '')!r}; leave it there"]
    if attributes.get("pool", pool) != pool:
        return [
            f"it is in the pool {attributes['pool']!r}; take it out first: "
            f"virtscale pool release {name}"
        ]
    owner = attributes.get("scaler", "")
    if owner and owner != scaler:
        return [
            f"it belongs to another scaler ({owner}); take it over first: virtscale adopt {name}"
        ]
    return []


def _shown(text: str) -> list[str]:
    hidden = _SECRET.sub(r"\1(secret)", text)
    hidden = _THEIRS.sub(r"\1\2(secret)", hidden)
    return _LONG.sub(r"\1(certificate)", hidden).splitlines()


def _without_metadata(text: str) -> str:
    root = definition.parse(text)
    for metadata in root.findall("metadata"):
        root.remove(metadata)
    return definition.render(root)


def describe(attributes: Mapping[str, str], record: Record | None) -> str:
    """Whose a domain is, in one word."""
    if record is not None:
        return record.kind
    return "defined" if attributes.get("owner") == OWNER else "marked"
