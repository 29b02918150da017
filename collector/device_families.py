"""The families of disks and network interfaces; part of `collector.catalogue`. Pure."""

from collector.families import Family, Kind, Scale, Statistic
from collector.records import Group

_TARGET = ("domain", "target_device")


_TRAFFIC = ("rd.bytes", "rd.reqs", "wr.bytes", "wr.reqs")


def _block(
    name: str, key: str, text: str, scale: Scale = Scale.ONE, *, is_lasting: bool = False
) -> Statistic:
    kind: Kind = "counter" if name.endswith("_total") else "gauge"
    also = Group.BLOCK_TRAFFIC if key in _TRAFFIC else None
    family = Family(
        f"libvirt_domain_block_stats_{name}", kind, text, _TARGET, Group.BLOCK, also=also
    )
    return Statistic(family, f"block.*.{key}", scale, is_lasting)


BLOCK_STATISTICS = (
    _block("read_bytes_total", "rd.bytes", "Bytes read from the disk."),
    _block("read_requests_total", "rd.reqs", "Read requests to the disk."),
    _block(
        "read_time_seconds_total",
        "rd.times",
        "Time spent on reads from the disk, in seconds.",
        Scale.NANOSECONDS,
    ),
    _block("write_bytes_total", "wr.bytes", "Bytes written to the disk."),
    _block("write_requests_total", "wr.reqs", "Write requests to the disk."),
    _block(
        "write_time_seconds_total",
        "wr.times",
        "Time spent on writes to the disk, in seconds.",
        Scale.NANOSECONDS,
    ),
    _block("flush_requests_total", "fl.reqs", "Flush requests to the disk."),
    _block(
        "flush_time_seconds_total",
        "fl.times",
        "Time spent on flushes of the disk, in seconds.",
        Scale.NANOSECONDS,
    ),
    _block("capacity_bytes", "capacity", "Size of the disk in bytes.", is_lasting=True),
    _block(
        "allocation",
        "allocation",
        "Offset of the highest byte of the disk's image that was written (libvirt "
        "block.N.allocation).",
        is_lasting=True,
    ),
    _block(
        "physicalsize_bytes",
        "physical",
        "Size in bytes of the file or device that holds the disk's image.",
        is_lasting=True,
    ),
)


def _interface(name: str, key: str, text: str) -> Statistic:
    family = Family(
        f"libvirt_domain_interface_stats_{name}_total", "counter", text, _TARGET, Group.INTERFACE
    )
    return Statistic(family, f"net.*.{key}")


INTERFACE_STATISTICS = (
    _interface("receive_bytes", "rx.bytes", "Bytes that the interface received."),
    _interface("receive_packets", "rx.pkts", "Packets that the interface received."),
    _interface("receive_errors", "rx.errs", "Errors while the interface received."),
    _interface("receive_drops", "rx.drop", "Packets to the interface that were dropped."),
    _interface("transmit_bytes", "tx.bytes", "Bytes that the interface sent."),
    _interface("transmit_packets", "tx.pkts", "Packets that the interface sent."),
    _interface("transmit_errors", "tx.errs", "Errors while the interface sent."),
    _interface("transmit_drops", "tx.drop", "Packets from the interface that were dropped."),
)


def _limit(name: str, key: str, text: str) -> Statistic:
    family = Family(f"libvirt_domain_block_stats_{name}", "gauge", text, _TARGET, Group.BLKIOTUNE)
    return Statistic(family, f"limit.*.{key}", is_lasting=True)


def _limits() -> tuple[Statistic, ...]:
    found = []
    for way, what in (("total", "Reads and writes"), ("read", "Reads"), ("write", "Writes")):
        found += [
            _limit(
                f"limit_{way}_bytes",
                f"{way}_bytes_sec",
                f"{what}: most bytes per second; 0 means no limit.",
            ),
            _limit(
                f"limit_{way}_requests",
                f"{way}_iops_sec",
                f"{what}: most requests per second; 0 means no limit.",
            ),
            _limit(
                f"limit_burst_{way}_bytes",
                f"{way}_bytes_sec_max",
                f"{what}: most bytes per second in a burst; 0 means no limit.",
            ),
            _limit(
                f"limit_burst_{way}_requests",
                f"{way}_iops_sec_max",
                f"{what}: most requests per second in a burst; 0 means no limit.",
            ),
            _limit(
                f"limit_burst_{way}_bytes_length_seconds",
                f"{way}_bytes_sec_max_length",
                f"{what}: longest burst of bytes, in seconds.",
            ),
            _limit(
                f"limit_burst_length_{way}_requests_seconds",
                f"{way}_iops_sec_max_length",
                f"{what}: longest burst of requests, in seconds.",
            ),
        ]
    found.append(
        _limit(
            "size_iops_bytes",
            "size_iops_sec",
            "Bytes that count as one request against the limits of requests; 0 means any.",
        )
    )
    return tuple(found)


LIMIT_STATISTICS = _limits()
"""virDomainGetBlockIoTune under the 19 names of Tinkoff's exporter."""
