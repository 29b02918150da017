"""The scaler's HTTP listener: status page, metrics, API, overrides and webhook on one port."""

import ssl
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from scaler import policy_api
from scaler.alert_api import AlertApi, Desk
from scaler.alert_telemetry import AlertTelemetry
from scaler.config import ScalerConfig
from scaler.override_api import OverrideApi, Store
from scaler.policy_api import PolicyApi
from scaler.stabilization import Limits
from scaler.status_page.feed import Feed
from scaler.status_page.gathering import Gathering, Sources
from scaler.status_page.load_watch import LoadWatch
from scaler.status_page.web import StaticFiles, StatusPage
from servicekit import logs
from servicekit.config import ConfigError
from servicekit.metrics import Application, MetricsServer, Readiness
from servicekit.tls import FileWatch, ServerTls, TokenFile


class Credentials:
    """What the listener shows and asks for, from the files of a configuration.

    Raises:
        ConfigError: a file cannot be used.

    """

    def __init__(self, config: ScalerConfig, wall: Callable[[], float] = time.time) -> None:
        path, files = config.alert_source.token_file, config.tls
        self.token = None if path is None else TokenFile(path)
        orders = config.control_token_file
        self.control = None if orders is None else TokenFile(orders)
        self._wall = wall
        self._tls: ServerTls | None = None
        if files is not None and files.paths:
            self._tls = ServerTls(files, "tls", now=wall(), protocol="http/1.1")
            self._watch = FileWatch(files.paths)

    @property
    def tls(self) -> Callable[[], ssl.SSLContext] | None:
        """For `MetricsServer`."""
        return None if self._tls is None else self._context

    def _context(self) -> ssl.SSLContext:
        """Reads the files again when they have changed; bad ones do not replace good ones."""
        assert self._tls is not None
        if self._watch.has_changed():
            try:
                self._tls.reload(now=self._wall())
                logs.get().info("credentials.replaced", setting="tls")
            except ConfigError as error:
                logs.get().error("credentials.refused", setting="tls", error=str(error))
        return self._tls.context


def alert_routes(
    desk: Desk, credentials: Credentials, telemetry: AlertTelemetry, wake: Callable[[], None]
) -> dict[str, Application]:
    """The webhook's."""
    return AlertApi(desk, credentials.token, wake, telemetry.received).routes()


def override_routes(
    config: ScalerConfig,
    store: Store,
    credentials: Credentials,
    status: Callable[[], dict[str, Any] | None],
    limits: Callable[[], Limits],
    wake: Callable[[], None],
) -> dict[str, Application]:
    """Those of overrides; a drain must name a domain that `status` knows."""

    def domains() -> list[str] | None:
        newest = status()
        # While libvirt does not answer the status lists none.
        if newest is None or newest["desired"] is None:
            return None
        return [str(one["name"]) for one in newest["domains"]]

    return OverrideApi(
        store,
        wake,
        limits=limits,
        domains=domains,
        is_remote_control=config.remote_control,
        token=credentials.control,
        page_hosts=config.page_hosts,
    ).routes()


def policy_routes(
    config: ScalerConfig,
    credentials: Credentials,
    status: Callable[[], dict[str, Any]],
    reload: Callable[[], None],
) -> dict[str, Application]:
    """Those of the policies file."""
    api = PolicyApi(status, reload, token=credentials.control, page_hosts=config.page_hosts)
    return {policy_api.PATH: api}


def status_page(
    config: ScalerConfig,
    sources: Sources,
    load: LoadWatch,
) -> tuple[StatusPage, Feed]:
    """The page, and the feed that is to be told of turns and closed at the end."""
    static = StaticFiles()
    gathering = Gathering(sources, static.version)
    feed = Feed(lambda: gathering.view(load.newest), load.fresh)
    page = StatusPage(
        lambda: gathering.view(load.fresh()), feed, static, page_hosts=config.page_hosts
    )
    return page, feed


def server(
    config: ScalerConfig,
    registry: CollectorRegistry,
    credentials: Credentials,
    ready: Readiness,
    routes: dict[str, Application],
    landing: Application | None = None,
) -> MetricsServer:
    """The listener, bound and not yet answering.

    Raises:
        StartError: the address cannot be used.

    """
    host, port = config.host_and_port
    return MetricsServer(
        registry,
        service="scaler",
        host=host,
        port=port,
        ready=ready,
        routes=routes,
        landing=landing,
        tls=credentials.tls,
    )
