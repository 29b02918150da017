"""Files of clones alone, such as overlays: made by libvirt's storage API, or on this machine."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit
from xml.etree import ElementTree

import libvirt

from stack.hypervisor.errors import HypervisorError

_SECONDS = 60.0
_GONE = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL)


class Overlays(Protocol):
    """The overlays, and other files of clones alone, in one directory."""

    directory: str

    def exists(self, name: str) -> bool:
        """True when a file of that name is there."""

    def create(self, name: str, *, backing: str, backing_format: str) -> str:
        """Makes an empty overlay of a file; its path.

        Raises:
            HypervisorError: with the reason.

        """

    def store(self, name: str, content: bytes) -> str:
        """Writes a file that must not be there yet; its path.

        Raises:
            HypervisorError: with the reason.

        """

    def remove(self, path: str) -> None:
        """Removes a file; one that is gone is no fault.

        Raises:
            HypervisorError: with the reason.

        """


class LocalOverlays:
    """Made with qemu-img.

    What root makes gets the owner of its directory: who runs QEMU there, or root, whose libvirt
    gives files to QEMU's user by itself.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def exists(self, name: str) -> bool:
        """See `Overlays.exists`."""
        return os.path.lexists(Path(self.directory, name))

    def create(self, name: str, *, backing: str, backing_format: str) -> str:
        """See `Overlays.create`."""
        path = str(Path(self.directory, name))
        command = ["qemu-img", "create", "-q", "-f", "qcow2"]
        command += ["-b", backing, "-F", backing_format, path]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HypervisorError(f"qemu-img: {error}; is qemu-utils installed?") from None
        if done.returncode:
            raise HypervisorError(
                f"the overlay {path} of {backing} could not be made: "
                f"{' '.join(done.stderr.split())}; give a directory that this user may write to "
                "with --storage DIR, or make it a storage pool of libvirt (virsh pool-define-as)"
            )
        self._give(path)
        return path

    def store(self, name: str, content: bytes) -> str:
        """See `Overlays.store`."""
        path = str(Path(self.directory, name))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _unwritten(path, error) from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            self._give(path)
        except OSError as error:
            self.remove(path)
            raise _unwritten(path, error) from None
        return path

    def _give(self, path: str) -> None:
        # What a guest writes, or is told, is nobody else's to read.
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            owner = os.stat(self.directory)
            os.chown(path, owner.st_uid, owner.st_gid)

    def remove(self, path: str) -> None:
        """See `Overlays.remove`."""
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise HypervisorError(f"{path} could not be removed: {error.strerror}") from None


class StoredOverlays:
    """Volumes of a storage pool, made by libvirt where that runs."""

    def __init__(self, pool: libvirt.virStoragePool, directory: str) -> None:
        self._pool = pool
        self.directory = directory

    def exists(self, name: str) -> bool:
        """See `Overlays.exists`."""
        with _told(f"the storage pool {self._pool.name()!r}"):
            self._pool.refresh()
            return name in self._pool.listVolumes()

    def create(self, name: str, *, backing: str, backing_format: str) -> str:
        """See `Overlays.create`."""
        with _told(f"the overlay {name} in the storage pool {self._pool.name()!r}"):
            size = self._size(backing)
            volume = ElementTree.Element("volume")
            ElementTree.SubElement(volume, "name").text = name
            ElementTree.SubElement(volume, "capacity", unit="bytes").text = str(size)
            ElementTree.SubElement(volume, "allocation").text = "0"
            target = ElementTree.SubElement(volume, "target")
            ElementTree.SubElement(target, "format", type="qcow2")
            below = ElementTree.SubElement(volume, "backingStore")
            ElementTree.SubElement(below, "path").text = backing
            ElementTree.SubElement(below, "format", type=backing_format)
            made = self._pool.createXML(ElementTree.tostring(volume, encoding="unicode"))
            return str(made.path())

    def store(self, name: str, content: bytes) -> str:
        """See `Overlays.store`."""
        with _told(f"the file {name} in the storage pool {self._pool.name()!r}"):
            volume = ElementTree.Element("volume")
            ElementTree.SubElement(volume, "name").text = name
            ElementTree.SubElement(volume, "capacity", unit="bytes").text = str(len(content))
            target = ElementTree.SubElement(volume, "target")
            ElementTree.SubElement(target, "format", type="raw")
            made = self._pool.createXML(ElementTree.tostring(volume, encoding="unicode"))
            try:
                stream = self._pool.connect().newStream()
                made.upload(stream, 0, len(content))
                stream.sendAll(_next_part, [content, 0])
                stream.finish()
            except libvirt.libvirtError:
                made.delete()
                raise
            return str(made.path())

    def remove(self, path: str) -> None:
        """See `Overlays.remove`."""
        with _told(f"the file {path}"):
            self._pool.refresh()
            try:
                self._pool.storageVolLookupByName(PurePosixPath(path).name).delete()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _GONE:
                    raise

    def _size(self, backing: str) -> int:
        # A qcow2 template's size is not its file's: libvirt knows it of volumes it has looked at.
        connection = self._pool.connect()
        try:
            volume = connection.storageVolLookupByPath(backing)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise
            raise HypervisorError(
                f"{backing} is in no active storage pool of {connection.getURI()}; make its "
                "directory one: virsh pool-create-as NAME dir --target "
                f"{PurePosixPath(backing).parent}"
            ) from None
        return int(volume.info()[1])


def is_here(uri: str) -> bool:
    """True when a URI means libvirt on this machine."""
    return not urlsplit(uri).netloc


def stamp(uri: str, path: str) -> str:
    """When a file on this machine was last written to; empty where that cannot be seen."""
    if not is_here(uri):
        return ""
    try:
        return f"{os.stat(path).st_mtime_ns} {path}"
    except OSError:
        return ""


def find(connection: libvirt.virConnect, uri: str, place: str) -> Overlays:
    """Who makes overlays in a directory, or in the storage pool of that name.

    Raises:
        HypervisorError: nobody can.

    """
    pools = _directories(connection)
    if "/" not in place:
        for name, (pool, directory) in pools.items():
            if name == place:
                return StoredOverlays(pool, directory)
        raise HypervisorError(
            f"--storage {place}: no active storage pool of that name has a directory at "
            f"{connection.getURI()} (virsh pool-list --all); a directory is given as a path"
        )
    directory = os.path.normpath(place)
    for pool, target in pools.values():
        if os.path.normpath(target) == directory:
            return StoredOverlays(pool, directory)
    if not is_here(uri):
        raise HypervisorError(
            f"{directory} is in no active storage pool of {connection.getURI()}, and files of "
            "another machine are made through one: virsh pool-create-as NAME dir --target "
            f"{directory}, or name another with --storage NAME"
        )
    if not Path(directory).is_dir():
        raise HypervisorError(f"--storage {directory}: is no directory on this machine")
    return LocalOverlays(directory)


def volume_paths(
    connection: libvirt.virConnect, volumes: list[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Paths of volumes by storage pool and name.

    Raises:
        HypervisorError: with libvirt's reason.

    """
    found = {}
    for pool, name in volumes:
        with _told(f"the volume {name!r} of the storage pool {pool!r}"):
            volume = connection.storagePoolLookupByName(pool).storageVolLookupByName(name)
            found[(pool, name)] = str(volume.path())
    return found


def _directories(
    connection: libvirt.virConnect,
) -> dict[str, tuple[libvirt.virStoragePool, str]]:
    """Active storage pools that are directories, by name."""
    active = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
    found = {}
    try:
        for pool in connection.listAllStoragePools(active):
            root = ElementTree.fromstring(pool.XMLDesc())
            if root.get("type") in ("dir", "fs", "netfs"):
                found[str(pool.name())] = (pool, root.findtext("target/path") or "")
    except libvirt.libvirtError as error:
        # Not every libvirt comes with storage.
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise HypervisorError(f"storage pools of {connection.getURI()}: {error}") from None
    return found


def _next_part(_: libvirt.virStream, most: int, sent: list[Any]) -> bytes:
    content, begin = sent
    sent[1] = begin + most
    return bytes(content[begin : begin + most])


def _unwritten(path: str, error: OSError) -> HypervisorError:
    return HypervisorError(
        f"{path} could not be written: {error.strerror}; give a directory that this user may write "
        "to with --storage DIR, or make it a storage pool of libvirt (virsh pool-define-as)"
    )


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        raise HypervisorError(f"{what}: {error}") from None
