"""compose.yaml on a real engine: a guest that the scaler's container started hashes a job.

`deploy/container/try` builds the images; where they are missing this is skipped.
"""

import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stack import certificates, guest_credentials, image
from stack.certificates import Site
from stack.hypervisor import access, libvirtd, pool
from tests import readme
from tests.e2e import machine, own_libvirt
from tests.free_ports import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENGINE = os.environ.get("VIRTSCALE_CONTAINER_ENGINE", "docker").split()
SERVICES = ("prometheus", "alertmanager", "collector", "dispatcher", "scaler")
OURS = [f"virtscale-{name}:0.1.0" for name in ("collector", "dispatcher", "scaler", "command")]
THEIRS = {
    name: os.environ.get(f"{name.upper()}_IMAGE", f"virtscale-try-{name}:0.1.0")
    for name in ("prometheus", "alertmanager")
}
SECTION = "In containers"
"""Of the README, whose commands are typed here."""
PUBLISHED = ("CLIENTS", "WORKERS", "SCALER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")


def run(*command: object, **environ: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=machine.ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compose_command() -> list[str]:
    if given := os.environ.get("VIRTSCALE_COMPOSE"):
        return given.split()
    plugin = subprocess.run([*ENGINE, "compose", "version"], capture_output=True)
    return [*ENGINE, "compose"] if plugin.returncode == 0 else ["docker-compose"]


@dataclass
class Project:
    """The services of compose.yaml under a name, on ports and with volumes of their own."""

    name: str
    directory: Path
    ports: dict[str, int]

    @property
    def env_file(self) -> Path:
        return self.directory / "env"

    @property
    def tls(self) -> Path:
        return self.directory / "site" / "secrets" / "tls"

    def compose(self, *words: str) -> str:
        return run(*compose_command(), "--env-file", self.env_file, "-p", self.name, *words)

    def facts(self) -> dict[str, Any]:
        """What the engine knows of each service's container."""
        label = f"label=com.docker.compose.project={self.name}"
        found = json.loads(
            run(*ENGINE, "inspect", *run(*ENGINE, "ps", "-aq", "--filter", label).split())
        )
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def are_healthy(self) -> bool:
        states = [one["State"] for one in self.facts().values()]
        return all(state["Running"] and state["Health"]["Status"] == "healthy" for state in states)

    def started(self) -> set[str]:
        return {one["State"]["StartedAt"] for one in self.facts().values()}

    def query(self, text: str) -> list[Any]:
        """Answer of Prometheus to an instant query."""
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS']}/api/v1/query?query={text}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return list(json.load(answer)["data"]["result"])

    def value(self, text: str) -> float:
        return sum(float(one["value"][1]) for one in self.query(text))

    def submit(self, virtscale: list[str], numbers: list[str]) -> list[str]:
        """Hashes, in the order of the numbers, as a client on the host gets them."""
        given, out = self.directory / "numbers.txt", self.directory / "hashes.csv"
        out.unlink(missing_ok=True)
        given.write_text("\n".join(numbers) + "\n")
        code, text = machine.run_to_end(
            *(virtscale, "submit", str(given), "--out", str(out), "--profile", "legacy-sha256"),
            *("--dispatcher", f"127.0.0.1:{self.ports['CLIENTS']}"),
            *("--ca", str(self.tls / "ca.pem"), "--token-file", str(self.tls / "commands.token")),
            within=100,
        )
        assert code == 0, text
        rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == [str(line) for line in range(1, len(numbers) + 1)]
        return [row[2] for row in rows]

    def evidence(self) -> str:
        return self.compose("ps") + self.compose("logs", "--no-color", "--tail", "30")


@pytest.fixture(scope="session")
def images() -> None:
    """Skips, and says so, where there is no engine or nothing for it to run.

    Of the session, and named first: else the installation would come before it.
    """
    if os.geteuid() != 0:
        pytest.skip("THE CONTAINERS ARE NOT TRIED: a system libvirtd of the test's own needs root")
    for program in (ENGINE[0], compose_command()[0]):
        if shutil.which(program) is None:
            pytest.skip(f"THE CONTAINERS ARE NOT TRIED: {program} is not installed")
    for tag in (*OURS, *THEIRS.values()):
        if subprocess.run([*ENGINE, "image", "inspect", tag], capture_output=True).returncode != 0:
            pytest.skip(
                f"THE CONTAINERS ARE NOT TRIED: {ENGINE[0]} has no image {tag} or its daemon does "
                "not run; deploy/container/try builds and tries them"
            )


@pytest.fixture
def libvirt_of_its_own() -> Iterator[own_libvirt.OwnLibvirt]:
    with own_libvirt.system() as started:
        yield started


@pytest.fixture
def project(
    images: None, libvirt_of_its_own: own_libvirt.OwnLibvirt, tmp_path: Path
) -> Iterator[Project]:
    """Prepared as docs/OPERATIONS.md says, and up."""
    name, first = f"vs-{uuid.uuid4().hex[:8]}", free_ports(len(PUBLISHED))
    ports = {service: first + offset for offset, service in enumerate(PUBLISHED)}
    found = Project(name, tmp_path, ports)
    sockets = Path(libvirt_of_its_own.uri.partition("socket=")[2]).parent
    lines = [f"{service}_PORT={port}" for service, port in ports.items()]
    lines += [f"{service.upper()}_IMAGE={tag}" for service, tag in THEIRS.items()]
    found.env_file.write_text("\n".join([*lines, f"LIBVIRT_SOCKETS={sockets}"]) + "\n")
    prepare = readme.the_one(SECTION, "deploy/compose/prepare").split()
    run(
        *prepare,
        "--keep-users",
        "--dir",
        tmp_path / "site",
        ENV_FILE=str(found.env_file),
        VIRTSCALE_USER=own_libvirt.stack_user().pw_name,
    )
    try:
        up = readme.the_one(SECTION, "docker compose up").split()[2:]
        found.compose(*up, "--no-build", *SERVICES)
        yield found
    except BaseException:
        print(found.evidence())
        raise
    finally:
        found.compose("down", "--volumes", "--timeout", "20")


def define_guests(
    project: Project, own: own_libvirt.OwnLibvirt, state: Path, virtscale: list[str]
) -> None:
    """Two domains of the pool that the scaler's configuration names."""
    code, text = machine.run_to_end(virtscale, "image", "build", "--state", str(state), within=250)
    assert code == 0, text
    newest, site = image.latest(state), Site(project.tls)
    assert newest is not None
    secrets = {}
    for name in ("vs-1", "vs-2"):
        names = certificates.worker_names(name)
        site.make("worker", name, names=names, now=newest.built_at)
        tls = guest_credentials.read(site, name)
        secrets[name] = pool.DomainSecrets(tls.credentials())
    logs = libvirtd.guest_logs(state)
    common = pool.PoolSpec(
        pool="default",
        image=newest,
        kind="tcg",
        dispatcher=f"10.0.2.2:{project.ports['WORKERS']}",
        logs=logs,
        gives_files_away=True,
    )
    key = (project.tls.parent / "join.key").read_bytes()
    with own.connected() as connection:
        user = access.qemu_user(connection)
        assert user is not None
        pool.define_pool(connection, pool.domain_specs(common, 2, key, secrets))
        files = (newest.kernel, newest.initramfs, newest.root)
        access.open_to(user, files=files, directory=logs, state=state)


def test_a_guest_hashes_and_killed_containers_come_back(
    images, project, libvirt_of_its_own, stack_state, virtscale
) -> None:
    define_guests(project, libvirt_of_its_own, stack_state, virtscale)
    machine.wait_for(
        "a worker says Hello",
        lambda: project.value("virtscale_dispatcher_workers") > 0,
        within=180,
    )
    numbers = [f"KA-47-UT-{9000 + index}" for index in range(20)]
    hashes = project.submit(virtscale, numbers)
    for number, text in zip(numbers, hashes, strict=True):
        digest, salt = text.split(":")
        assert hashlib.sha256((salt + number).encode()).hexdigest() == digest
    machine.wait_for("everything is scraped", lambda: project.value("up") == 5, within=30)
    machine.wait_for("everything is healthy", project.are_healthy, within=60)
    listed = project.compose(*readme.the_one(SECTION, "docker compose ps").split()[2:])
    assert all(name in listed for name in SERVICES)
    containers = project.facts()
    assert sorted(containers) == sorted(SERVICES)
    for facts in containers.values():
        process = Path(f"/proc/{facts['State']['Pid']}/status").read_text()
        assert "\nUid:\t0\t" not in process
        assert "\nCapEff:\t0000000000000000\n" in process
        assert "\nNoNewPrivs:\t1\n" in process
        assert facts["HostConfig"]["ReadonlyRootfs"]

    said = project.compose(
        *("exec", "-T", "scaler", "virtscale-scaler", "explain"),
        *("--config", "/etc/virtscale/scaler.yaml"),
    )
    assert "start vs-" in said
    backup = "/var/lib/virtscale/jobs.backup"
    project.compose(
        *("exec", "-T", "dispatcher", "virtscale-dispatcher"),
        *("--config", "/etc/virtscale/dispatcher.yaml", "--backup", backup),
    )

    before = project.started()
    for facts in containers.values():
        os.kill(facts["State"]["Pid"], 9)
    machine.wait_for(
        "every container is there again", lambda: not before & project.started(), within=60
    )
    machine.wait_for("everything is healthy again", project.are_healthy, within=60)
    more = [f"KA-47-UT-{9100 + index}" for index in range(5)]
    assert len(project.submit(virtscale, more)) == 5
    done = 'virtscale_dispatcher_jobs{state="done"}'.replace('"', "%22").replace("=", "%3D")
    machine.wait_for("all results are kept", lambda: project.value(done) == 25, within=30)


def test_an_alert_reaches_the_scaler_through_alertmanager(project) -> None:
    machine.wait_for("everything is healthy", project.are_healthy, within=90)
    labels = {"alertname": "VirtscaleQueueLong", "pool": "default", "scaling": "floor"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{project.ports['ALERTMANAGER']}/api/v2/alerts",
        data=json.dumps([{"labels": labels}]).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
    counted = "virtscale_scaler_alert_notifications_total"

    def results() -> set[str]:
        found = project.query(counted)
        return {one["metric"]["result"] for one in found if float(one["value"][1]) > 0}

    assert machine.wait_for("the scaler is notified", results, within=30) == {"accepted"}


@pytest.mark.parametrize("name", ["collector", "dispatcher", "scaler"])
def test_an_image_says_what_it_holds(images, name) -> None:
    """As docs/OPERATIONS.md lists it; all of it is in the lock."""
    script = (
        "import importlib.metadata as m; "
        'print(*(f"{d.name}=={d.version}" for d in m.distributions(path=["/usr/lib/virtscale"])))'
    )
    words = ("run", "--rm", "--network", "none", "--entrypoint", "python3")
    found = set(run(*ENGINE, *words, f"virtscale-{name}:0.1.0", "-c", script).lower().split())
    lock = (machine.ROOT / "locks/stack.lock").read_text().lower()
    locked = {line.split()[0].replace("_", "-") for line in lock.splitlines() if "==" in line}
    ours = {one for one in found if one.startswith("virtscale==")}
    assert len(ours) == 1
    assert {one.replace("_", "-") for one in found - ours} <= locked
    facts = json.loads(run(*ENGINE, "image", "inspect", f"virtscale-{name}:0.1.0"))[0]["Config"]
    assert facts["Labels"]["org.opencontainers.image.version"] == ours.pop().partition("==")[2]
    assert facts["User"] == "nobody"
    assert facts["Healthcheck"]["Test"][0] == "CMD"
