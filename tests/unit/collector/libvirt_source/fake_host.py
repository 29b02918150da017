"""A libvirt host in memory. It hangs as libvirt 9.0 does: who asks a frozen domain first, waits.

The contract tests show the same on real QEMU. With the kind LXC it has no bulk statistics, and
whoever asks about a frozen container, or lists them, waits: measured on libvirt 9.0 with containers
that are slow to start.
"""

import errno
import threading
from collections.abc import Callable
from typing import Any

import libvirt

NOWAIT = 1 << 29
STATE, CPU, BALLOON, VCPU, INTERFACE, BLOCK = (1 << bit for bit in range(6))
WITH_MONITOR = CPU | BALLOON | VCPU | BLOCK


class Refused(libvirt.libvirtError):  # type: ignore[misc]
    """An error of libvirt's with a code of our choice."""

    def __init__(
        self, code: Any, text: Any = "refused", *, domain: Any = 0, number: Any = 0
    ) -> None:
        super().__init__(text)
        self.err = (code, domain, text, 0, "", None, None, number, 0)


def closed() -> Refused:
    """What a daemon says whose own connection, to another daemon, is closed."""
    return Refused(
        libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed", domain=libvirt.VIR_FROM_RPC
    )


class FakeDomain:
    """What the host knows of a domain."""

    def __init__(self, name: Any, number: Any = 1) -> None:
        self.name = name
        self.uuid = f"uuid-{name}"
        self.number = number
        self.thawed = threading.Event()
        self.thawed.set()
        self.taken = False
        self.job: dict[str, Any] = {}

    def freeze(self) -> None:
        """Nobody gets an answer until it thaws."""
        self.thawed.clear()

    def thaw(self) -> None:
        self.thawed.set()


class StorageDaemon:
    """virtstoraged, which virtqemud asks for us: over a connection for each of ours, kept."""

    def __init__(self) -> None:
        self.era = 0
        self.fault: Refused | None = None

    def stop(self) -> None:
        self.era += 1
        self.fault = Refused(
            libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket", number=errno.ENOENT
        )

    def start(self) -> None:
        self.fault = None


class FakeHost:
    """Its `open` stands for `libvirt.openReadOnly`. `calls` is what was asked, in order."""

    def __init__(self, *domains: Any, kind: Any = "QEMU") -> None:
        self.domains = {one.uuid: one for one in domains}
        self.kind = kind
        self.calls: list[str] = []
        self.urls: list[str] = []
        self.handles: list[FakeHandle] = []
        self.opened = 0
        self.is_up = True
        self.answering = threading.Event()
        self.answering.set()
        self.has_looked = threading.Event()
        """Cleared: the daemon is asked for its version for the first time."""
        self.has_looked.set()
        self.after_survey = lambda: None
        self.waits: Callable[[Any], bool] = lambda _domain: True
        """Whether a question about a frozen container waits for it."""
        self.pools: dict[str, Any] = {}
        self.supports_stats = True
        self.disks = "<disk><target dev='vda'/></disk>"
        self.block_fault: Any = None
        self.virtual_cpus: Any = None
        self.has_pools = True
        self.storage = StorageDaemon()
        self.statistics: Callable[[Any, int], Any] = self.usual_statistics
        self._lock = threading.Lock()

    def open(self, url: Any) -> Any:
        if not self.is_up:
            raise Refused(libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: no such file")
        self.opened += 1
        self.urls.append(url)
        self.handles.append(FakeHandle(self, url))
        return self.handles[-1]

    def restart_behind(self) -> None:
        """virtqemud is restarted, and the connections that are open to virtproxyd stay open."""
        for handle in self.handles:
            handle.is_lost_behind = True

    def end(self) -> None:
        """The daemon ends, and every connection hears of it."""
        self.is_up = False
        for handle in self.handles:
            handle.is_broken = True

    def count(self, name: Any) -> Any:
        return sum(one == name for one in self.calls)

    def usual_statistics(self, domain: Any, flags: Any) -> Any:
        """What libvirt would tell."""
        told: dict[str, Any] = {"state.state": 5 if domain.number < 0 else 1, "state.reason": 1}
        if domain.number < 0:
            return told
        is_free = True
        if flags & WITH_MONITOR and not domain.thawed.is_set():
            with self._lock:
                is_free, domain.taken = not domain.taken, True
            if is_free:
                domain.thawed.wait(30)
                domain.taken = False
        if flags & CPU:
            told["cpu.time"] = 7_000_000_000
        if flags & BALLOON:
            told["balloon.current"] = told["balloon.maximum"] = 1024
            if is_free:
                told["balloon.rss"] = 512
        if flags & BLOCK:
            told["block.count"] = 1
            told["block.0.name"] = "vda"
            if is_free:
                told["block.0.rd.reqs"] = 3
        return told


class FakeHandle:
    """One connection."""

    def __init__(self, host: Any, url: Any) -> None:
        self.host = host
        self.url = url
        self.is_broken = False
        self.is_lost_behind = False
        self.storage_era: int | None = None

    def _said(self, call: Any) -> None:
        self.host.calls.append(call)
        self.host.answering.wait(30)
        if not self.host.is_up:
            self.is_broken = True
            raise Refused(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed")
        if self.is_lost_behind:
            raise closed()

    def isAlive(self) -> Any:
        return not self.is_broken

    def setKeepAlive(self, *_arguments: Any) -> Any:
        return 0

    def close(self) -> None:
        self.host.calls.append("close")

    def getType(self) -> Any:
        return self.host.kind

    def getVersion(self) -> Any:
        self._said("version")
        self.host.has_looked.wait(20)
        return 7_002_022

    def getLibVersion(self) -> Any:
        self._said("libversion")
        return 9_000_000

    def getInfo(self) -> Any:
        return ["x86_64", 2048, 2, 2000, 1, 1, 2, 1]

    def getCPUStats(self, *_arguments: Any) -> Any:
        return {"user": 1_000_000_000}

    def getCellsFreeMemory(self, first: Any, most: Any) -> Any:
        self._said("cells")
        return [1024 << 10] * min(most, 2 - first)

    def getMemoryStats(self, cell: Any, _flags: Any) -> Any:
        self._said("memory")
        if cell > 1:
            raise Refused(libvirt.VIR_ERR_INVALID_ARG)
        return {"total": 2048, "free": 1024}

    def domainEventRegisterAny(self, _domain: Any, event: Any, _callback: Any, _opaque: Any) -> Any:
        return event

    def domainEventDeregisterAny(self, _callback: Any) -> Any:
        assert not self.is_lost_behind, "virtproxyd crashes when this connection is closed"
        self.host.calls.append("deregister")
        return 0

    def listAllDomains(self, _flags: Any) -> Any:
        self._said("list")
        for domain in list(self.host.domains.values()):
            self._wait_for(domain)
        return [FakeDomainHandle(self, one) for one in list(self.host.domains.values())]

    def lookupByUUIDString(self, uuid: Any) -> Any:
        self._said("lookup")
        domain = self.host.domains.get(uuid)
        if domain is None:
            raise Refused(libvirt.VIR_ERR_NO_DOMAIN)
        self._wait_for(domain)
        return FakeDomainHandle(self, domain)

    def _wait_for(self, domain: Any) -> None:
        if self.host.kind == "LXC" and self.host.waits(domain):
            domain.thawed.wait(30)

    def getAllDomainStats(self, flags: Any, _options: Any) -> Any:
        self._said("survey")
        if not self.host.supports_stats:
            raise Refused(libvirt.VIR_ERR_NO_SUPPORT)
        found = [
            (FakeDomainHandle(self, one), self.host.statistics(one, flags))
            for one in list(self.host.domains.values())
        ]
        self.host.after_survey()
        return found

    def domainListGetStats(self, domains: Any, flags: Any, _options: Any) -> Any:
        self._said("bulk")
        return [
            (FakeDomainHandle(self, one), self.host.statistics(one, flags))
            for one in (self.host.domains.get(domain.uuid) for domain in domains)
            if one is not None
        ]

    def listAllStoragePools(self, _flags: Any) -> Any:
        self._said("pools")
        if not self.host.has_pools:
            raise Refused(libvirt.VIR_ERR_NO_SUPPORT)
        if self.storage_era is None:
            if self.host.storage.fault is not None:
                raise self.host.storage.fault
            self.storage_era = self.host.storage.era
        if self.storage_era != self.host.storage.era:
            raise closed()
        return list(self.host.pools.values())


class FakeDomainHandle:
    """libvirt's object for a domain: keeps the name and number it was made with."""

    def __init__(self, handle: Any, domain: Any) -> None:
        self._handle = handle
        self._domain = domain
        self.uuid, self._name, self._number = domain.uuid, domain.name, domain.number

    def UUIDString(self) -> Any:
        return self.uuid

    def name(self) -> Any:
        return self._name

    def ID(self) -> Any:
        return self._number

    def state(self, _flags: Any) -> Any:
        self._handle._wait_for(self._domain)
        return [1, 1]

    def controlInfo(self, _flags: Any) -> Any:
        self._handle._said("control")
        return [2, 0, 60_000] if self._domain.taken else [0, 0, 0]

    def info(self) -> Any:
        self._handle._said("info")
        self._handle._wait_for(self._domain)
        return [1, 2048, 1024, 3, 5_000_000_000]

    def jobInfo(self) -> Any:
        self._handle._said("job")
        return [self._domain.job.get("type", 0)]

    def jobStats(self, flags: Any) -> Any:
        assert flags == 0, "another flag takes the record of the last job away"
        return self._domain.job

    def blockIoTune(self, disk: Any, _flags: Any) -> Any:
        return {"total_bytes_sec": 5, "group_name": disk}

    def _unsupported(self, *_arguments: Any) -> None:
        self._handle._said("unsupported")
        raise Refused(libvirt.VIR_ERR_NO_SUPPORT)

    def vcpus(self) -> Any:
        host = self._handle.host
        if host.virtual_cpus is None:
            self._unsupported()
        self._handle._said("vcpus")
        if self._domain.number < 0:
            raise Refused(libvirt.VIR_ERR_OPERATION_INVALID)
        return host.virtual_cpus, []

    getCPUStats = maxVcpus = memoryStats = interfaceStats = _unsupported
    blockInfo = _unsupported

    def blockStats(self, disk: Any) -> Any:
        self._handle._said("block")
        if self._handle.host.block_fault is not None:
            raise Refused(self._handle.host.block_fault)
        assert disk == "vda" and not self._domain.taken, "it waits for a domain that is taken"
        if not self._domain.thawed.is_set():
            self._domain.taken = True
            self._domain.thawed.wait(30)
            self._domain.taken = False
        return (3, 4096, 5, -1, -1)

    def XMLDesc(self, _flags: Any) -> Any:
        self._handle._said("xml")
        self._handle._wait_for(self._domain)
        return (
            f"<domain><name>{self._name}</name><title>{self._domain.name}</title>"
            f"<devices>{self._handle.host.disks}</devices></domain>"
        )


class FakePool:
    """A storage pool; hangs while `answering` is not set."""

    def __init__(self, name: Any, state: Any = 2) -> None:
        self._name = name
        self._state = state
        self.answering = threading.Event()
        self.answering.set()

    def name(self) -> Any:
        return self._name

    def info(self) -> Any:
        self.answering.wait(30)
        return [self._state, 100, 40, 60]
