"""The command line: flags as Prometheus's exporters have them, turned into settings."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collector.exposition import NameSet
from collector.records import DEFAULT_GROUPS, Group
from servicekit.config import ConfigError

ENVIRONMENT_PREFIX = "VIRTSCALE_COLLECTOR_"
_NAMED_URI = re.compile(r"(?P<name>[^=:/?&]*)=(?P<uri>.*)", re.DOTALL)

_DESCRIPTION = """\
Exports statistics of libvirt domains to Prometheus. Connections to libvirt are read-only; libvirt
is read when Prometheus asks and at no other time.
"""
_EPILOG = """\
pages:
  /metrics              the first target, and this process's own metrics
  /probe?target=NAME    a target by name (NAME of --libvirt.uri NAME=URI), without the process
  /-/healthy            200 while the process answers
  /-/ready              200 when the last reading worked, else 503 and why; reads nothing itself
  /                     links to these, and the collectors

  collect[]=NAME reads only that collector, exclude[]=NAME all others; both can be repeated:
  /metrics?collect[]=state&collect[]=cpu

settings:
  Defaults < file (--config) < environment < flags. A key of the file is a flag without dashes and
  dots (README, docs/OPERATIONS.md), or the environment variable VIRTSCALE_COLLECTOR_KEY:

    url: qemu:///system
    targets: {blue: "qemu+ssh://virtscale@blue/system", green: "qemu+tls://green/system"}
    listen_address: [":9177"]
    web_config_file: /etc/virtscale/web.yml
    collectors: {block: false, perf: true}
    domain_exclude: "test-.*"
    compat_names: [inovex]

  The web config file is that of Prometheus's exporters (tls_server_config, basic_auth_users,
  http_server_config, rate_limit). It is read again when it or a file in it changes.

signals:
  SIGTERM, SIGINT, SIGHUP   end; answers under way have two seconds

exit codes:
  0 ended as asked; 1 cannot start, such as for a port in use; 2 wrong configuration

examples:
  virtscale-collector
  virtscale-collector --libvirt.uri qemu+ssh://virtscale@host/system --web.listen-address :9177
  virtscale-collector --libvirt.uri a=qemu+tls://a/system --libvirt.uri b=qemu+tls://b/system
  virtscale-collector --collector.disable-defaults --collector.state --collector.cpu
  virtscale-collector --config /etc/virtscale/collector.yaml --check-config
"""


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Reads the command line (that of the process for None): all of it, and the settings in it.

    Raises:
        ConfigError: flags that contradict.

    """
    found = parser().parse_args(arguments)
    given = vars(found)
    values = {
        key: given[key]
        for key in (
            *("timeout_seconds", "hedge_after_seconds", "shards", "max_requests", "systemd_socket"),
            *("web_config_file", "probe_allow", "domain_include", "domain_exclude"),
            *("compat_names", "loglevel", "logfile", "logformat", "collector_defaults"),
        )
        if given[key] is not None
    }
    if given["listen_address"]:
        values["listen_address"] = given["listen_address"]
    if given["collectors"]:
        values["collectors"] = dict(given["collectors"])
    return found, values | _targets(given["uris"] or [])


def _targets(texts: list[str]) -> dict[str, Any]:
    """`url` and `targets` from repeated URIs, with names or, one of them, without."""
    url: str | None = None
    named: dict[str, str] = {}
    faults: list[str] = []
    for text in texts:
        match = _NAMED_URI.fullmatch(text)
        if match is None and url is None:
            url = text
        elif match is None:
            faults.append(
                f"--libvirt.uri {text}: only one can be without a name; write NAME={text}"
            )
        elif match["name"] in named:
            faults.append(f"--libvirt.uri {text}: {match['name']!r} is the name of another target")
        else:
            named[match["name"]] = match["uri"]
    if faults:
        raise ConfigError([f"flags: {fault}" for fault in faults])
    return ({"url": url} if url is not None else {}) | ({"targets": named} if named else {})


class _Switch(argparse.Action):
    """`--collector.NAME` and `--no-collector.NAME`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = list(getattr(namespace, self.dest) or [])
        given.append((self.const, not str(option_string).startswith("--no-")))
        setattr(namespace, self.dest, given)


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(
        prog="virtscale-collector",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
    made.add_argument(
        "--check-config",
        action="store_true",
        help="check the configuration and the web config file, tell every fault, and exit",
    )
    _libvirt_flags(made.add_argument_group("libvirt"))
    _collector_flags(made.add_argument_group("what is exported"))
    _web_flags(made.add_argument_group("web"))
    logs = made.add_argument_group("logs")
    logs.add_argument("--loglevel", choices=["debug", "info", "warning", "error"])
    logs.add_argument("--logfile", type=Path, metavar="FILE", help="append to it (default: stderr)")
    logs.add_argument("--logformat", choices=["json", "text"])
    return made


def _libvirt_flags(group: Any) -> None:
    group.add_argument(
        *("--libvirt.uri", "--url"),
        dest="uris",
        action="append",
        metavar="[NAME=]URI",
        help="what to read (default: qemu:///system); repeated with names for several hosts, "
        "of which the first is /metrics and each is /probe?target=NAME",
    )
    group.add_argument(
        "--probe.allow",
        dest="probe_allow",
        metavar="REGEX",
        help="let /probe?target=URI read URIs that match as a whole (default: configured only)",
    )
    group.add_argument(
        *("--libvirt.timeout", "--timeout-seconds"),
        dest="timeout_seconds",
        metavar="SECONDS",
        help="longest reading; the scraper's own timeout wins if shorter (default: 5)",
    )
    group.add_argument(
        *("--libvirt.hedge-after", "--hedge-after-seconds"),
        dest="hedge_after_seconds",
        metavar="SECONDS",
        help="ask again on another connection after this time (default: 0.3)",
    )
    group.add_argument(
        "--libvirt.shards",
        dest="shards",
        metavar="N",
        help="connections among which domains are divided (default: by their number)",
    )


def _collector_flags(group: Any) -> None:
    for one in Group:
        state = "on" if one in DEFAULT_GROUPS else "off"
        group.add_argument(
            *(f"--collector.{one}", f"--no-collector.{one}"),
            dest="collectors",
            action=_Switch,
            nargs=0,
            const=one.value,
            help=f"{one.meaning} (default: {state})",
        )
    group.add_argument(
        "--collector.disable-defaults",
        dest="collector_defaults",
        action="store_const",
        const=False,
        help="switch all collectors off that no other flag switches on",
    )
    group.add_argument(
        "--domain.include",
        dest="domain_include",
        metavar="REGEX",
        help="only domains whose whole name matches",
    )
    group.add_argument(
        "--domain.exclude",
        dest="domain_exclude",
        metavar="REGEX",
        help="no domains whose whole name matches",
    )
    group.add_argument(
        "--compat.names",
        dest="compat_names",
        metavar="NAMES",
        help="also export under the names of other exporters, separated by commas: "
        + ", ".join(NameSet),
    )


def _web_flags(group: Any) -> None:
    group.add_argument(
        *("--web.listen-address", "--listen-address"),
        dest="listen_address",
        action="append",
        metavar="ADDRESS",
        help="HOST:PORT, :PORT or unix:PATH; can be repeated (default: 127.0.0.1:9177)",
    )
    group.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_const",
        const=True,
        help="listen on the sockets of a systemd .socket unit instead",
    )
    group.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="FILE",
        help="TLS, client certificates, passwords, headers, rate limit",
    )
    group.add_argument(
        "--web.max-requests",
        dest="max_requests",
        metavar="N",
        help="scrapes at one time; more are answered 503; 0 is no limit (default: 40)",
    )
