"""A libvirt host in memory. It hangs as libvirt 9.0 does: who asks a frozen domain first, waits.

The contract tests show the same on real QEMU.
"""

import threading

import libvirt

NOWAIT = 1 << 29
STATE, CPU, BALLOON, VCPU, INTERFACE, BLOCK = (1 << bit for bit in range(6))
WITH_MONITOR = CPU | BALLOON | VCPU | BLOCK


class Refused(libvirt.libvirtError):
    """An error of libvirt's with a code of our choice."""

    def __init__(self, code, text="refused"):
        super().__init__(text)
        self.err = (code, 0, text, 0, "", None, None, 0, 0)


class FakeDomain:
    """What the host knows of a domain."""

    def __init__(self, name, number=1):
        self.name = name
        self.uuid = f"uuid-{name}"
        self.number = number
        self.thawed = threading.Event()
        self.thawed.set()
        self.taken = False
        self.job = {}

    def freeze(self):
        self.thawed.clear()

    def thaw(self):
        self.thawed.set()


class FakeHost:
    """Its `open` stands for `libvirt.openReadOnly`. `calls` is what was asked, in order."""

    def __init__(self, *domains, kind="QEMU"):
        self.domains = {one.uuid: one for one in domains}
        self.kind = kind
        self.calls = []
        self.urls = []
        self.opened = 0
        self.is_up = True
        self.answering = threading.Event()
        self.answering.set()
        self.after_survey = lambda: None
        self.pools = {}
        self.supports_stats = True
        self.has_modular_daemons = False
        self._lock = threading.Lock()

    def open(self, url):
        if not self.is_up:
            raise Refused(libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket: no such file")
        self.opened += 1
        self.urls.append(url)
        return FakeHandle(self, url)

    def count(self, name):
        return sum(one == name for one in self.calls)

    def statistics(self, domain, flags):
        told = {"state.state": 5 if domain.number < 0 else 1, "state.reason": 1}
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

    def __init__(self, host, url):
        self.host = host
        self.url = url
        self.is_broken = False

    def _said(self, call):
        self.host.calls.append(call)
        self.host.answering.wait(30)
        if not self.host.is_up:
            self.is_broken = True
            raise Refused(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed")

    def isAlive(self):
        return not self.is_broken

    def setKeepAlive(self, *_arguments):
        return 0

    def close(self):
        self.host.calls.append("close")

    def getType(self):
        return self.host.kind

    def getVersion(self):
        self._said("version")
        return 7_002_022

    def getLibVersion(self):
        return 9_000_000

    def getInfo(self):
        return ["x86_64", 2048, 2, 2000, 1, 1, 2, 1]

    def getCPUStats(self, *_arguments):
        return {"user": 1_000_000_000}

    def getMemoryStats(self, *_arguments):
        return {"total": 2048, "free": 1024}

    def domainEventRegisterAny(self, _domain, event, _callback, _opaque):
        return event

    def domainEventDeregisterAny(self, _callback):
        return 0

    def listAllDomains(self, _flags):
        self._said("list")
        return [FakeDomainHandle(self, one) for one in list(self.host.domains.values())]

    def getAllDomainStats(self, flags, _options):
        self._said("survey")
        if not self.host.supports_stats:
            raise Refused(libvirt.VIR_ERR_NO_SUPPORT)
        found = [
            (FakeDomainHandle(self, one), self.host.statistics(one, flags))
            for one in list(self.host.domains.values())
        ]
        self.host.after_survey()
        return found

    def domainListGetStats(self, domains, flags, _options):
        self._said("bulk")
        return [
            (FakeDomainHandle(self, one), self.host.statistics(one, flags))
            for one in (self.host.domains.get(domain.uuid) for domain in domains)
            if one is not None
        ]

    def listAllStoragePools(self, _flags):
        self._said("pools")
        if self.host.has_modular_daemons and not self.url.startswith("storage"):
            raise Refused(libvirt.VIR_ERR_NO_SUPPORT)
        return list(self.host.pools.values())


class FakeDomainHandle:
    """libvirt's object for a domain: keeps the name and number it was made with."""

    def __init__(self, handle, domain):
        self._handle = handle
        self._domain = domain
        self.uuid, self._name, self._number = domain.uuid, domain.name, domain.number

    def UUIDString(self):
        return self.uuid

    def name(self):
        return self._name

    def ID(self):
        return self._number

    def state(self, _flags):
        return [1, 1]

    def controlInfo(self, _flags):
        self._handle._said("control")
        return [2, 0, 60_000] if self._domain.taken else [0, 0, 0]

    def info(self):
        self._handle._said("info")
        return [1, 2048, 1024, 3, 5_000_000_000]

    def jobInfo(self):
        self._handle._said("job")
        return [self._domain.job.get("type", 0)]

    def jobStats(self, flags):
        assert flags == 0, "another flag takes the record of the last job away"
        return self._domain.job

    def blockIoTune(self, disk, _flags):
        return {"total_bytes_sec": 5, "group_name": disk}

    def _unsupported(self, *_arguments):
        raise Refused(libvirt.VIR_ERR_NO_SUPPORT)

    getCPUStats = vcpus = maxVcpus = memoryStats = _unsupported
    blockStats = interfaceStats = _unsupported

    def XMLDesc(self, _flags):
        self._handle._said("xml")
        return (
            f"<domain><name>{self._name}</name><title>{self._domain.name}</title>"
            "<devices><disk><target dev='vda'/></disk></devices></domain>"
        )


class FakePool:
    """A storage pool; hangs while `answering` is not set."""

    def __init__(self, name, state=2):
        self._name = name
        self._state = state
        self.answering = threading.Event()
        self.answering.set()

    def name(self):
        return self._name

    def info(self):
        self.answering.wait(30)
        return [self._state, 100, 40, 60]
