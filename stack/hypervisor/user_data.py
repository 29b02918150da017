"""cloud-init's user-data and meta-data of clones: checked and written. Pure."""

import json
import re
from collections.abc import Iterator

import yaml

MOST_BYTES = 1 << 20
_CLOUD_CONFIG = b"#cloud-config"
_JINJA = b"## template: jinja"
_BEGINNINGS = (_CLOUD_CONFIG, _JINJA, b"#!", b"#include", b"#part-handler", b"#cloud-boothook")
"""By what cloud-init (22.4) knows what it was given; upper and lower case and blank lines before it
are the same to it."""
_MIME, _MIME_WITHIN = b"mime-version:", 4096
_GZIP = b"\x1f\x8b"
_PLACEHOLDER = re.compile(rb"@WORKER_(?:URL|SHA256)@")
_NAMES = ("hostname", "fqdn")


def faults(content: bytes) -> list[str]:
    """What cloud-init would not understand, one sentence each; never shows the content."""
    if not content.strip():
        return ["is empty; cloud-init's user-data begins with #cloud-config or #!"]
    if len(content) > MOST_BYTES:
        return [f"has {len(content):,} bytes; the most is {MOST_BYTES:,}"]
    if content.startswith(_GZIP):
        return []
    is_mime = _MIME in content[:_MIME_WITHIN].lower()
    if not is_mime and not content.lstrip().lower().startswith(_BEGINNINGS):
        return [
            "begins with nothing that cloud-init knows; the first line of a configuration is "
            "#cloud-config, that of a script #! and its interpreter"
        ]
    return [*_placeholders(content), *_configuration_faults(content)]


def remarks(content: bytes) -> list[str]:
    """What a person may not expect, one sentence each."""
    if not _is_plain_configuration(content):
        return []
    found = yaml.safe_load(content)
    return [
        f"its {name} is that of every clone; without it each has its own name"
        for name in _NAMES
        if name in found
    ]


def meta_data(name: str, uuid: str) -> bytes:
    """Who a clone is, as its SMBIOS serial number says, too: a new instance with its own name."""
    facts = {"instance-id": uuid, "local-hostname": name}
    # JSON is YAML, and needs no rules of its own for names such as `1e3` or `null`.
    return (json.dumps(facts) + "\n").encode()


def _placeholders(content: bytes) -> Iterator[str]:
    lines = content.splitlines()
    for number, line in enumerate(lines, start=1):
        found = _PLACEHOLDER.search(line)
        if found is not None:
            yield (
                f"line {number}: {found[0].decode()} is to be replaced; "
                "deploy/guest/build_worker.py makes the file for your guests"
            )


def _is_plain_configuration(content: bytes) -> bool:
    first = content.lstrip().splitlines()[0].rstrip()
    return first.lower() == _CLOUD_CONFIG


def _configuration_faults(content: bytes) -> Iterator[str]:
    if not _is_plain_configuration(content):
        return
    try:
        found = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        yield f"{where}is no YAML: {error.problem or 'it cannot be read'}"
        return
    except (yaml.YAMLError, ValueError, RecursionError):
        yield "is no YAML: it holds what YAML does not allow, such as a byte that is not UTF-8"
        return
    if not isinstance(found, dict):
        yield "says nothing: behind #cloud-config come keys with values, such as `packages:`"
