"""What a domain's description becomes: the info families. Pure."""

from collections.abc import Iterator

from collector import catalogue
from collector.domain_xml import Description, Disk, Interface, OpenStack
from collector.families import Family
from collector.records import DomainRecord

Row = tuple[Family, tuple[str, ...], int]
"""A family, the values of its own labels, and its value."""


def described(record: DomainRecord) -> Iterator[Row]:
    """Nothing for a domain that could not be described."""
    found = record.description
    if found is None:
        return
    yield _info(record, found)
    yield from _pool(record, found)
    yield from _openstack(record, found)
    for disk in found.disks:
        yield from _disk(record.name, disk)
    for interface in found.interfaces:
        yield from _interface(record.name, interface)


def _info(record: DomainRecord, found: Description) -> Row:
    labels = (record.name, record.uuid, found.title, found.os_type, found.os_type_arch)
    return catalogue.INFO, (*labels, found.os_type_machine), 1


def _pool(record: DomainRecord, found: Description) -> Iterator[Row]:
    if found.membership is not None:
        labels = (record.name, found.membership.pool, found.membership.tier)
        yield catalogue.MEMBERSHIP_INFO, labels, 1


def _openstack(record: DomainRecord, found: Description) -> Iterator[Row]:
    nova = found.openstack or OpenStack()
    owner = (nova.user_name, nova.user_id, nova.project_name, nova.project_id)
    if found.openstack is not None:
        labels = (record.name, nova.instance_name, record.uuid, nova.flavor)
        yield catalogue.OPENSTACK_INFO, (*labels, *owner), 1
    identity = (record.name, record.uuid, nova.instance_name, nova.flavor)
    yield catalogue.META, (*identity, *owner, nova.root_type, nova.root_id), 1


def _disk(domain: str, disk: Disk) -> Iterator[Row]:
    driver = (disk.driver, disk.image_format, disk.cache, disk.discard)
    source = (disk.source, disk.protocol, disk.target, disk.serial, disk.device)
    yield catalogue.BLOCK_INFO, (domain, disk.kind, disk.bus, *driver, *source), 1
    identity = (domain, disk.target, disk.source, disk.serial, disk.bus, disk.kind)
    yield catalogue.BLOCK_META, (*identity, disk.image_format, disk.cache, disk.discard), 1


def _interface(domain: str, one: Interface) -> Iterator[Row]:
    labels = (domain, one.kind, one.bridge, one.target, one.mac, one.model, one.mtu)
    yield catalogue.INTERFACE_INFO, labels, 1
    if one.bridge or one.port:
        yield catalogue.INTERFACE_META, (domain, one.bridge, one.target, one.port), 1
