"""Image and hypervisor as the stack uses them: where they meet, and in what order."""

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import libvirt

from servicekit.lifecycle import StartError
from stack import image, site_secrets
from stack.hypervisor import acceleration, access, pool, refusals
from stack.hypervisor import libvirtd as daemon
from stack.hypervisor.domain_xml import Kind
from stack.hypervisor.errors import HypervisorError
from stack.image import sources, terminal
from stack.image.build import prune
from stack.paths import StateDirectory
from stack.settings import UpSettings
from stack.supervisor import Service

_HOST_SEEN_BY_GUEST = "10.0.2.2"
"""The host's loopback, on QEMU's user-mode network."""


def is_image_built(state: StateDirectory) -> bool:
    """True when the newest image is what this installation would build."""
    newest = image.latest(state.root)
    if newest is None:
        return False
    try:
        return newest.recipe_key == sources.find().key()
    except image.ImageError as error:
        raise StartError(str(error)) from None


def newest_generation(state: StateDirectory) -> str:
    """The newest built image; empty when there is none."""
    newest = image.latest(state.root)
    return "" if newest is None else newest.generation


def build_image(state: StateDirectory, *, tell: image.Progress) -> image.Image:
    """Builds the image, or finds the one that fits; `tell` gets each step and the share done.

    Raises:
        StartError: with the reason and the fix.

    """
    try:
        return image.build(state.root, tell)
    except image.ImageError as error:
        raise StartError(str(error)) from None


def uri(state: StateDirectory) -> str:
    """URI of the private libvirtd."""
    return daemon.uri(state.root)


def refusal(reason: str, url: str) -> str:
    """What to tell when the user's own libvirt cannot be used."""
    return refusals.explain(reason, url, user=access.user_name(os.geteuid()))


def end_group(pid: int) -> None:
    """Ends a process group that was started as a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)


def libvirtd(state: StateDirectory) -> Service:
    """The private daemon.

    Raises:
        StartError: when it is not installed.

    """
    try:
        daemon.write_config(state.root)
        command, environment = daemon.libvirtd_command(state.root)
    except HypervisorError as error:
        raise StartError(str(error)) from None
    return Service("libvirtd", command, environment, stop_seconds=10.0)


def cleanup(state: StateDirectory) -> list[str]:
    """Ends QEMUs and daemons that an earlier run left; names of the domains ended."""
    return daemon.cleanup(state.root)


def probe(state: StateDirectory) -> tuple[Kind, str]:
    """What domains run on, and why.

    Raises:
        StartError: when QEMU is not installed.

    """
    with _plain():
        found = acceleration.probe(state.root)
    return found.kind, found.reason


def define(
    state: StateDirectory,
    settings: UpSettings,
    *,
    uri: str,
    kind: Kind,
    join_key: bytes,
    now: float,
    is_in_use: bool = False,
) -> str:
    """Defines the pool's domains; returns the image's generation. Old images are removed.

    `now` is Unix time: the domains get certificates that are good for half a year from now on.
    With `is_in_use` the scaler is at work: domains that run get the definition of their next start.

    Raises:
        StartError: with libvirt's reason.

    """
    newest = image.latest(state.root)
    if newest is None:
        raise StartError("there is no guest image; build it with: virtscale image build")
    logs = daemon.guest_logs(state.root)
    common = pool.PoolSpec(
        pool=settings.pool,
        image=newest,
        kind=kind,
        dispatcher=f"{_HOST_SEEN_BY_GUEST}:{settings.port('dispatcher_workers_port')}",
        logs=logs,
        prefix="vs" if settings.pool == "default" else f"vs-{settings.pool}",
        vcpus=settings.vcpus,
        memory_mib=settings.memory,
    )
    with _connected(uri) as connection:
        if settings.url is not None:
            is_open = _open_to_qemu(connection, state, newest, logs)
            common = dataclasses.replace(common, gives_files_away=is_open)
        names = pool.domain_names(common, settings.max)
        secrets = _domain_secrets(state, names, join_key, now, in_files=not common.gives_files_away)
        specs = pool.domain_specs(common, settings.max, join_key, secrets)
        pool.define_pool(connection, specs, is_in_use=is_in_use)
        prune(state.root, keep=pool.generations_in_use(connection))
    return newest.generation


def _domain_secrets(
    state: StateDirectory, names: Sequence[str], join_key: bytes, now: float, *, in_files: bool
) -> dict[str, pool.DomainSecrets]:
    """Each domain's certificate; with `in_files`, what is secret of it is left in files.

    A libvirt that runs QEMU as another user would give those files away for good: there it is in
    the definition, and so in QEMU's command line.
    """
    made = site_secrets.of(state)
    found = {}
    for name, tls in made.workers(names, now).items():
        credentials = tls.credentials()
        files: dict[str, Path] = {}
        if in_files:
            files = {
                "tls-key": made.site.pair("worker", name).key,
                "join-token": made.join_token_file(name, pool.join_token(join_key, name)),
            }
        shown = {key: value for key, value in credentials.items() if key not in files}
        found[name] = pool.DomainSecrets(shown, files)
    return found


def _open_to_qemu(
    connection: libvirt.virConnect, state: StateDirectory, newest: image.Image, logs: Path
) -> bool:
    """True when QEMU there runs as a user of its own, who can read what it needs now.

    Raises:
        StartError: when it cannot, or is no QEMU.

    """
    driver = connection.getType()
    if driver != "QEMU":
        raise StartError(
            f"{connection.getURI()} is libvirt's {driver} driver, and the guests need QEMU's; "
            "give a URI such as qemu:///system"
        )
    user = access.qemu_user(connection)
    if user is None:
        return False
    files = (newest.kernel, newest.initramfs, newest.root)
    logs.mkdir(parents=True, exist_ok=True)
    access.open_to(user, files=files, directory=logs, state=state.root)
    return True


def undefine(uri: str, pool_name: str) -> None:
    """Forgets the pool's domains that are off.

    Raises:
        StartError: with libvirt's reason.

    """
    with _connected(uri) as connection:
        pool.undefine_pool(connection, pool_name)


@contextlib.contextmanager
def _connected(uri: str) -> Iterator[libvirt.virConnect]:
    with _plain():
        try:
            connection = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise StartError(f"libvirt at {uri}: {error}") from None
        try:
            yield connection
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()


@contextlib.contextmanager
def _plain() -> Iterator[None]:
    try:
        yield
    except HypervisorError as error:
        raise StartError(str(error)) from None


def show_image(state: StateDirectory, *, as_json: bool) -> str:
    """What the newest image is, for a person or a program.

    Raises:
        StartError: when there is none.

    """
    newest = image.latest(state.root)
    if newest is None:
        raise StartError(
            f"there is no guest image in {state.image}; build it with: virtscale image build"
        )
    facts = {
        "generation": newest.generation,
        "directory": str(newest.directory),
        "size_bytes": newest.size_bytes,
        "kernel_release": newest.kernel_release,
        "python": newest.python,
        "built_at": newest.built_at,
        "build_seconds": newest.build_seconds,
        "fits_this_installation": newest.recipe_key == sources.find().key(),
        "packages": list(newest.packages),
    }
    if as_json:
        return json.dumps(facts, indent=2)
    facts["size_bytes"] = f"{newest.size_bytes / 1_000_000:.0f} MB"
    facts["built_at"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(newest.built_at))
    facts["packages"] = len(newest.packages)
    return "\n".join(f"{name.replace('_', ' '):24}{value}" for name, value in facts.items())


def boot_image(state: StateDirectory) -> int:
    """One guest on this terminal; QEMU's exit code.

    Raises:
        StartError: when there is no image or no QEMU.

    """
    with _plain():
        kind = acceleration.probe(state.root).kind
    try:
        return terminal.boot(state.root, use_kvm=kind == "kvm")
    except image.ImageError as error:
        raise StartError(str(error)) from None
