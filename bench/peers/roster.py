"""The peers: what each needs, and how it is started and measured."""

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.rig import Rig, free_port, is_listening, wait_until

_SECONDS = 600.0
_WORKERS = 2
Figures = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """Another way to do the same work."""

    name: str
    """As shown."""
    is_synced: bool
    """Whether a job is on disk (fsync) before its submitter is told so."""
    packages: tuple[str, ...]
    """Python packages it needs."""
    programs: tuple[str, ...]
    """Programs it needs; they are named as their Debian packages."""
    jobs: int
    """Jobs of a run: enough for some seconds."""
    measure: Callable[[Rig, int], Figures]
    """One run of so many jobs."""

    def missing(self) -> list[str]:
        """What is not installed, each with the fix; nothing when it can run."""
        packages = [each for each in self.packages if importlib.util.find_spec(each) is None]
        programs = [each for each in self.programs if shutil.which(each) is None]
        fixes = []
        if packages:
            fixes.append(f"Python package {', '.join(packages)}: run bench/setup")
        if programs:
            fixes.append(f"program {', '.join(programs)}: apt-get install {' '.join(programs)}")
        return fixes


def _redis(rig: Rig, *, is_synced: bool) -> tuple[int, str]:
    """Starts Redis; its process id and URL."""
    port = free_port()
    durability = ("--appendonly", "yes", "--appendfsync", "always") if is_synced else ()
    process = rig.spawn(
        "redis",
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
        *("--dir", rig.directory, *durability),
    )
    wait_until(lambda: is_listening(port), "Redis listens")
    return process.pid, f"redis://127.0.0.1:{port}/0"


def _request(jobs: int, watch: Mapping[str, int], **more: Any) -> Figures:
    return {"jobs": jobs, "warmup": max(10, jobs // 10), "watch": dict(watch), **more}


def _celery(rig: Rig, jobs: int, *, is_synced: bool = False) -> Figures:
    broker, url = _redis(rig, is_synced=is_synced)
    rig.environment["BENCH_REDIS_URL"] = url
    worker = rig.python(
        "celery",
        *("-m", "celery", "-A", "bench.peers.celery_queue", "worker"),
        *("--concurrency", str(_WORKERS), "--loglevel", "warning"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )
    watch = {"dispatcher": broker, "worker": worker.pid}
    return dict(rig.report("client", "bench.peers.celery_queue", _request(jobs, watch), _SECONDS))


def _celery_synced(rig: Rig, jobs: int) -> Figures:
    return _celery(rig, jobs, is_synced=True)


def _dramatiq(rig: Rig, jobs: int) -> Figures:
    broker, url = _redis(rig, is_synced=False)
    rig.environment["BENCH_REDIS_URL"] = url
    worker = rig.python(
        "dramatiq",
        *("-m", "dramatiq", "bench.peers.dramatiq_queue"),
        *("--processes", str(_WORKERS), "--threads", "8"),
    )
    watch = {"dispatcher": broker, "worker": worker.pid}
    return dict(rig.report("client", "bench.peers.dramatiq_queue", _request(jobs, watch), _SECONDS))


def _dask(rig: Rig, jobs: int) -> Figures:
    port = free_port()
    folder = ("--no-dashboard", "--host", "127.0.0.1")
    scheduler = rig.python(
        "dask-scheduler", "-m", "distributed.cli.dask_scheduler", *folder, "--port", str(port)
    )
    wait_until(lambda: is_listening(port), "Dask's scheduler listens")
    worker = rig.python(
        "dask-worker",
        *("-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", *folder),
        *("--nworkers", str(_WORKERS), "--nthreads", "1", "--local-directory", rig.directory),
    )
    watch = {"dispatcher": scheduler.pid, "worker": worker.pid}
    asked = _request(jobs, watch, address=f"tcp://127.0.0.1:{port}", workers=_WORKERS)
    return dict(rig.report("client", "bench.peers.dask_queue", asked, _SECONDS))


def _sockets(rig: Rig, jobs: int) -> Figures:
    ports = [(free_port(), free_port()) for _ in range(_WORKERS)]
    workers = [
        rig.python(
            f"sockets-{number}",
            *("-m", "bench.peers.sockets", "worker", str(work), str(result)),
        )
        for number, (work, result) in enumerate(ports)
    ]
    for work, _ in ports:
        wait_until(partial(is_listening, work), "the socket worker listens")
    watch = {f"worker {number}": worker.pid for number, worker in enumerate(workers)}
    asked = _request(jobs, watch, ports=ports)
    figures = dict(rig.report("client", "bench.peers.sockets", asked, _SECONDS))
    used = figures["cpu_seconds"]
    figures["cpu_seconds"] = {
        "client": used["client"],
        "worker": sum(seconds for name, seconds in used.items() if name != "client"),
    }
    return figures


def _grpc_stream(rig: Rig, jobs: int) -> Figures:
    address = f"127.0.0.1:{free_port()}"
    worker = rig.python("grpc-worker", "-m", "bench.peers.grpc_stream", "worker", address)
    asked = _request(jobs, {"worker": worker.pid}, address=address)
    return dict(rig.report("client", "bench.peers.grpc_stream", asked, _SECONDS))


PEERS = (
    Peer("Celery + Redis", False, ("celery", "redis"), ("redis-server",), 5_000, _celery),
    Peer(
        "Celery + Redis, appendfsync always",
        True,
        ("celery", "redis"),
        ("redis-server",),
        5_000,
        _celery_synced,
    ),
    Peer("Dramatiq + Redis", False, ("dramatiq", "redis"), ("redis-server",), 5_000, _dramatiq),
    Peer("Dask distributed", False, ("distributed",), (), 5_000, _dask),
    Peer("socket per job (reference program)", False, (), (), 5_000, _sockets),
)
"""Ways to do the same that people use."""

UPPER_BOUND = Peer("bare gRPC stream, no store", False, (), (), 200_000, _grpc_stream)
"""What the language and the transport allow when nothing is promised."""
