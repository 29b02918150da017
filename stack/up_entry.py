"""From the command line to a running session: settings, lock, privileges, logs."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from servicekit import lifecycle, logs
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.lifecycle import StartError
from stack import orphans, policies, privilege, service_plan
from stack.lock import StackLock
from stack.paths import StateDirectory
from stack.run_report import ReportFile
from stack.screen import Screen
from stack.settings import ENVIRONMENT_PREFIX, UpSettings
from stack.summary import SummaryFile


def run_up(
    state: StateDirectory, config: Path | None, flags: Mapping[str, Any], *, began_at: float
) -> int:
    """Runs `virtscale up`; returns the exit code.

    Raises:
        ConfigError: for options that cannot be used.
        StartError: when the stack cannot be started.

    """
    settings = load(
        UpSettings, path=config, environ=os.environ, prefix=ENVIRONMENT_PREFIX, flags=flags
    )
    fault = state.fault()
    if fault:
        raise ConfigError([fault])
    with own_state(state) as lock:
        # Opened as the caller: its directory may be the caller's alone.
        summary_file = None if settings.summary is None else _open_summary(settings.summary)
        report_file = None if settings.report is None else _open_report(settings.report)
        logfile = settings.logfile and settings.logfile.absolute()
        become_stack_user(state)
        _check_readable()
        if settings.policies_file is not None:
            limits = {"min": settings.min, "max": settings.max}
            policies.check(state, settings.policies_file, limits=limits)
        orphans.adopt_and_reap()
        logs.configure("up", level=settings.loglevel, file=logfile or state.log("up"))

        # libvirt forks for some URIs (ssh, a session daemon); gRPC's handlers would end that child.
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

        async def session(stop: lifecycle.Stop) -> int:
            from stack.up_session import UpSession

            return await UpSession(
                settings,
                state,
                screen=Screen(),
                clock=SystemClock(),
                summary_file=summary_file,
                report_file=report_file,
                began_at=began_at,
            ).run(stop)

        code = lifecycle.run(session)
        lock.release()
        return code


@contextlib.contextmanager
def own_state(state: StateDirectory) -> Iterator[StackLock]:
    """The state directory's layout and its lock, made as the user that will own them.

    Raises:
        StartError: when the directory cannot be used or another `up` has it.

    """
    lock = StackLock(state.lock)
    try:
        if os.geteuid() == 0:
            user = privilege.account()
            privilege.own(state.root, user)
            with privilege.acting_as(user):
                state.create()
                lock.acquire()
        else:
            state.create()
            lock.acquire()
    except OSError as error:
        raise _unusable(state, error) from None
    try:
        yield lock
    finally:
        lock.release()


def prepare(state: StateDirectory) -> None:
    """Makes the state directory's layout without taking its lock, and drops root.

    Raises:
        StartError: when the directory cannot be used.

    """
    try:
        if os.geteuid() == 0:
            privilege.own(state.root, privilege.account())
            become_stack_user(state)
        state.create()
    except OSError as error:
        raise _unusable(state, error) from None


def become_stack_user(state: StateDirectory) -> None:
    """Drops root, if this is root."""
    if os.geteuid() == 0:
        privilege.drop(privilege.account(), home=state.root)


def _unusable(state: StateDirectory, error: OSError) -> StartError:
    return StartError(
        f"state directory {state.root} cannot be used: {error.strerror}: {error.filename}; "
        "choose another with --state DIR"
    )


def _open_summary(path: Path) -> SummaryFile:
    try:
        return SummaryFile(str(path))
    except OSError as error:
        raise ConfigError(
            [f"summary = {path}: cannot be written: {error.strerror}; choose another file"]
        ) from None


def _open_report(path: Path) -> ReportFile:
    try:
        return ReportFile(path)
    except OSError as error:
        raise ConfigError(
            [f"report = {path}: cannot be written: {error.strerror}; choose another file"]
        ) from None


def _check_readable() -> None:
    """The services run as this user: it must be able to read their code."""
    root = service_plan.source_root()
    for package in ("dispatcher", "collector", "scaler", "prometheus"):
        if not os.access(root / package, os.R_OK | os.X_OK):
            raise StartError(
                f"the user {privilege.USER!r} cannot read {root / package}; install virtscale "
                "where every user can read it (./run does), or open that directory to others"
            )
