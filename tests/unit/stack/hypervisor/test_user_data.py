import gzip
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stack.hypervisor import user_data

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    "content",
    [
        b"#cloud-config\npackages: [python3-venv]\n",
        b"\n#Cloud-Config\r\na: 1\r\n",
        b"#!/bin/sh\necho hello\n",
        b"#include\nhttp://192.0.2.1/more\n",
        b"## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n",
        b"#cloud-config-archive\n- content: '#!/bin/sh'\n",
        b'Content-Type: multipart/mixed; boundary="x"\nMIME-Version: 1.0\n\n--x--\n',
        gzip.compress(b"#cloud-config\na: 1\n"),
    ],
)
def test_what_cloud_init_knows_is_taken(content: bytes) -> None:
    assert user_data.faults(content) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" \n", "is empty"),
        (b"# cloud-config\na: 1\n", "begins with nothing that cloud-init knows"),
        (b"packages: [x]\n", "the first line of a configuration is #cloud-config"),
        (b"#cloud-config\nusers:\n\t- name: x\n", "line 3, column 1: is no YAML"),
        (b"#cloud-config\npassword: 'sesame\n", "is no YAML"),
        (b"#cloud-config\n", "says nothing"),
        (b"#cloud-config\n- a\n", "says nothing"),
        (b"#cloud-config\na: \xff\xfe\n", "is no YAML"),
        (b"#cloud-config\nwhen: 2026-99-99\n", "is no YAML"),
        (b"#cloud-config\na: " + b"[" * 100_000, "is no YAML"),
        (b"#!" + b"x" * user_data.MOST_BYTES, "the most is 1,048,576"),
    ],
)
def test_what_cloud_init_would_not_understand_is_told_with_its_place(
    content: bytes, words: str
) -> None:
    (fault,) = user_data.faults(content)
    assert words in fault
    assert "sesame" not in fault


def test_our_own_file_is_to_be_filled_in_first() -> None:
    content = (ROOT / "deploy" / "guest" / "user-data").read_bytes()
    (fault,) = user_data.faults(content)
    assert "@WORKER_URL@ is to be replaced" in fault
    number = int(fault.removeprefix("line ").partition(":")[0])
    assert b"@WORKER_URL@" in content.splitlines()[number - 1]
    filled = content.replace(b"@WORKER_URL@", b"http://192.0.2.10/virtscale-worker.tar.gz")
    filled = filled.replace(b"@WORKER_SHA256@", b"0" * 64)
    assert user_data.faults(filled) == user_data.remarks(filled) == []


def test_a_name_for_all_clones_is_remarked() -> None:
    (remark,) = user_data.remarks(b"#cloud-config\nfqdn: web.example\n")
    assert remark.startswith("its fqdn is that of every clone")
    assert user_data.remarks(b"#!/bin/sh\nhostname x\n") == []


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}-[1-9]", fullmatch=True), st.uuids())
def test_meta_data_is_read_as_it_was_meant(name: str, uuid: object) -> None:
    content = user_data.meta_data(name, str(uuid))
    facts = {"instance-id": str(uuid), "local-hostname": name}
    assert yaml.safe_load(content) == json.loads(content) == facts


@given(st.binary(max_size=200))
def test_nothing_crashes(noise: bytes) -> None:
    for content in (noise, b"#cloud-config\n" + noise):
        if not user_data.faults(content):
            user_data.remarks(content)
