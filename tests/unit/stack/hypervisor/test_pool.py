"""Defining, against libvirt's own test driver."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from stack.hypervisor import domain_xml, pool
from stack.hypervisor.domain_xml import DomainSpec
from stack.hypervisor.errors import HypervisorError
from stack.image.values import Image

EMPTY = """<node><cpu><mhz>1000</mhz><model>x</model><active>1</active><nodes>1</nodes>
<sockets>1</sockets><cores>1</cores><threads>1</threads></cpu><memory>8000000</memory></node>"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[libvirt.virConnect]:
    node = tmp_path / "node.xml"
    node.write_text(EMPTY)
    libvirt.registerErrorHandler(lambda *_: None, None)
    with contextlib.closing(libvirt.open(f"test://{node}")) as opened:
        yield opened


@pytest.fixture
def common(tmp_path: Path) -> pool.PoolSpec:
    image = Image(
        directory=tmp_path,
        generation="sha256:ab",
        kernel_arguments="quiet",
        kernel_release="6.1",
        python="3.11",
        packages=(),
        recipe_key="k",
        built_at=0.0,
        build_seconds=0.0,
    )
    return pool.PoolSpec(
        pool="default", image=image, kind="tcg", dispatcher="10.0.2.2:1", logs=tmp_path / "logs"
    )


def specs(common: pool.PoolSpec, count: int, key: bytes = b"key") -> list[DomainSpec]:
    return pool.domain_specs(common, count, key)


def test_a_domain_is_told_its_own_secrets_in_its_definition_or_in_files(
    common: pool.PoolSpec, tmp_path: Path
) -> None:
    secrets = {
        "vs-1": pool.DomainSecrets({"tls-cert": "A"}, {"join-token": tmp_path / "vs-1.join"}),
        "vs-2": pool.DomainSecrets({"tls-cert": "B"}),
    }
    first, second = pool.domain_specs(common, 2, b"key", secrets)

    assert (first.credentials["tls-cert"], second.credentials["tls-cert"]) == ("A", "B")
    assert "join-token" not in first.credentials
    assert first.credential_files == {"join-token": tmp_path / "vs-1.join"}
    assert second.credentials["join-token"] == pool.join_token(b"key", "vs-2")
    assert "A" not in repr(secrets["vs-1"])


def test_defining_twice_changes_nothing(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    first = pool.define_pool(connection, specs(common, 2))
    second = pool.define_pool(connection, specs(common, 2))

    assert first.added == ("vs-1", "vs-2")
    assert second.unchanged == ("vs-1", "vs-2")
    assert (tuple(sorted(d.name() for d in connection.listAllDomains()))) == ("vs-1", "vs-2")
    assert pool.generations_in_use(connection) == {"sha256:ab"}


def test_a_changed_setting_renews_inactive_domains_and_leaves_active_ones(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    pool.define_pool(connection, specs(common, 2))
    connection.lookupByName("vs-1").create()

    done = pool.define_pool(connection, specs(common, 2, key=b"another key"))

    assert (done.renewed, done.outdated) == (("vs-2",), ("vs-1",))


def test_beside_a_scaler_those_that_run_are_renewed_too_and_its_notes_stay(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    pool.define_pool(connection, specs(common, 2))
    running = connection.lookupByName("vs-1")
    running.create()
    identity = running.UUIDString()
    note = "<domain pool='default' owner='virtscale' generation='sha256:ab' operation='drain'/>"
    running.setMetadata(2, note, "virtscale", domain_xml.METADATA_URI, 3)
    image = dataclasses.replace(common.image, generation="sha256:cd")

    done = pool.define_pool(
        connection, specs(dataclasses.replace(common, image=image), 2), is_in_use=True
    )

    assert done.renewed == ("vs-1", "vs-2")
    assert running.UUIDString() == identity
    assert running.isActive()
    defined = running.metadata(2, domain_xml.METADATA_URI, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert "sha256:cd" in defined
    assert "drain" in defined
    assert "sha256:ab" in running.metadata(2, domain_xml.METADATA_URI, 0)
    assert pool.generations_in_use(connection) == {"sha256:ab", "sha256:cd"}


def test_inactive_surplus_domains_go_and_active_ones_stay(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    pool.define_pool(connection, specs(common, 3))
    connection.lookupByName("vs-2").create()

    assert pool.define_pool(connection, specs(common, 1)).removed == ("vs-3",)
    assert pool.undefine_pool(connection, "default") == ["vs-1"]


def test_a_foreign_domain_of_the_same_name_is_an_error_before_any_change(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    connection.defineXML(
        "<domain type='test'><name>vs-2</name><memory>1</memory><os><type>hvm</type></os></domain>"
    )

    with pytest.raises(HypervisorError, match="'vs-2' exists and is not of virtscale"):
        pool.define_pool(connection, specs(common, 2))
    assert [domain.name() for domain in connection.listAllDomains()] == ["vs-2"]
    assert pool.undefine_pool(connection, "default") == []


def lend(connection: libvirt.virConnect, name: str) -> None:
    domain = connection.defineXML(
        f"<domain type='test'><name>{name}</name><memory>1</memory><os><type>hvm</type></os>"
        "</domain>"
    )
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        '<domain pool="default"/>',
        "virtscale",
        domain_xml.METADATA_URI,
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )


def test_a_domain_lent_to_the_pool_is_never_redefined_or_removed(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    lend(connection, "mine")

    with pytest.raises(HypervisorError, match=r"'mine'.*without --define"):
        pool.define_pool(connection, specs(common, 2))
    assert pool.undefine_pool(connection, "default") == []
    assert [domain.name() for domain in connection.listAllDomains()] == ["mine"]


def test_a_refused_definition_leaves_nothing_behind(
    connection: libvirt.virConnect, common: pool.PoolSpec
) -> None:
    good, bad = specs(common, 2)

    with pytest.raises(HypervisorError, match="refused to define the pool"):
        pool.define_pool(connection, [good, dataclasses.replace(bad, memory_mib=0)])
    assert connection.listAllDomains() == []


def test_where_qemu_has_a_user_of_its_own_the_shared_disk_is_not_given_away(
    common: pool.PoolSpec,
) -> None:
    given = dataclasses.replace(common, gives_files_away=True)

    assert 'relabel="no"' in domain_xml.render(specs(given, 1)[0])
    assert "relabel" not in domain_xml.render(specs(common, 1)[0])


def test_a_token_belongs_to_one_worker_and_one_key() -> None:
    tokens = {pool.join_token(key, name) for key in (b"a", b"b") for name in ("vs-1", "vs-2")}

    assert len(tokens) == 4
    assert all(token.startswith("v1.") and "=" not in token for token in tokens)


def test_a_prefix_that_cannot_be_a_name_is_an_error(common: pool.PoolSpec) -> None:
    bad = pool.PoolSpec(**{**common.__dict__, "prefix": "A/b"})

    with pytest.raises(HypervisorError, match="'A/b'"):
        pool.domain_specs(bad, 1, b"")


def test_guests_are_told_who_they_are(common: pool.PoolSpec) -> None:
    text = domain_xml.render(specs(common, 1)[0])

    assert "virtscale.worker-id=vs-1" in text
    assert "virtscale.generation=sha256:ab" in text
