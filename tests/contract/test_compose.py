"""compose.yaml is valid, keeps our rules, and what it mounts is accepted by who reads it.

Nothing is started here: tests/e2e/test_containers.py does that where there is an engine.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from tests import readme

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose"
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
METRICS_PORTS = {"collector": 9177, "scaler": 9182, "dispatcher": 9181}
OURS = tuple(METRICS_PORTS)
# Who listens where on the host: a row here is a promise of docs/OPERATIONS.md.
PUBLISHED = {
    "dispatcher": ["127.0.0.1:15051:15051", "127.0.0.1:15052:15052"],
    "scaler": ["127.0.0.1:9182:9182"],
    "prometheus": ["127.0.0.1:9090:9090"],
    "alertmanager": ["127.0.0.1:9093:9093"],
    "grafana": ["127.0.0.1:3000:3000"],
    "collector": [],
    "postgres": [],
}
_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


def settings(name):
    """Variables and values of a file such as .env."""
    lines = (COMPOSE / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(given=None):
    return _VARIABLE.sub(lambda found: (given or {}).get(found[1], found[2]), TEXT)


DOCUMENT = yaml.safe_load(interpolated())
SERVICES = DOCUMENT["services"]


def binds(service):
    return [one for one in SERVICES[service].get("volumes", []) if isinstance(one, dict)]


def run(*command, cwd=ROOT, **environ):
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**path, **environ}, capture_output=True, text=True
    )


@pytest.mark.parametrize("given", [{}, settings("env.example")], ids=["defaults", "example"])
def test_the_file_is_valid(given):
    # The validator knows no merge keys (`<<`), which YAML resolves.
    text = yaml.safe_dump(yaml.safe_load(interpolated(given)))
    assert "${" not in text
    assert sorted(PyCompose.from_yaml(text).service_names()) == sorted(PUBLISHED)
    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_yaml(text.replace("restart:", "restrat:"))


def test_the_example_names_every_variable_and_no_other():
    used = {found[0] for found in _VARIABLE.findall(TEXT)}
    assert used | {"COMPOSE_PROJECT_NAME"} == set(settings("env.example"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_service_can_do_no_more_than_it_needs(name):
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert user.isdigit() and group.isdigit() and int(user) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"] and service["pids_limit"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & set(service)
    assert all(one["read_only"] is True for one in binds(name))
    assert service.get("ports", []) == PUBLISHED[name]
    assert "docker.sock" not in TEXT


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_image_is_of_an_exact_version(name):
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag)
    assert settings("env.example")[f"{name.upper()}_IMAGE"] == SERVICES[name]["image"]
    if name in OURS:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert tag == project["version"]
        assert SERVICES[name]["build"]["target"] == name


def test_every_service_tells_its_health_without_a_program_of_its_own():
    containerfile = (ROOT / "deploy/container/Containerfile").read_text(encoding="utf-8")
    stages = dict(
        (stage.split(maxsplit=1)[0], stage)
        for stage in re.split(r"^FROM \S+ AS ", containerfile, flags=re.M)[1:]
    )
    # The images inherit one question, whose port each names; the command serves nothing.
    assert "/dev/tcp/127.0.0.1/$METRICS_PORT" in stages["python"]
    assert containerfile.count("HEALTHCHECK --") == 1
    assert "HEALTHCHECK NONE" in stages["command"]
    for name, service in SERVICES.items():
        if name in OURS:
            assert f"ENV METRICS_PORT={METRICS_PORTS[name]}" in stages[name]
        else:
            assert service["healthcheck"]["test"][0] == "CMD"
        assert "curl" not in str(service) + stages.get(name, "")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"ARG VERSION={version['version']}\n" in containerfile


def test_networks_and_volumes_are_those_that_are_declared():
    used = {network for service in SERVICES.values() for network in service["networks"]}
    assert used == set(DOCUMENT["networks"])
    kept = [one.split(":")[0] for name in SERVICES for one in SERVICES[name].get("volumes", [])
            if isinstance(one, str)]  # fmt: skip
    assert sorted(kept) == sorted(DOCUMENT["volumes"])
    # Whoever publishes a port needs a network that is not internal; the others have none.
    for name, ports in PUBLISHED.items():
        assert ("outside" in SERVICES[name]["networks"]) == bool(ports)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_mounted_from_the_checkout_is_there(name):
    sources = [one["source"] for one in binds(name)]
    missing = [one for one in sources if one.startswith("./") and not (ROOT / one).is_dir()]
    assert not missing
    # A socket mounted by itself would be the old one after each restart of its server.
    assert not [one for one in sources if Path(one).name.startswith("libvirt-sock")]


def test_prometheus_files_differ_from_the_stacks_in_addresses_only():
    made = run(sys.executable, "deploy/compose/derive.py")
    assert made.returncode == 0, made.stderr
    for line in made.stdout.splitlines():
        changed = run("git", "diff", "--exit-code", "--", line)
        assert changed.returncode == 0, "run deploy/compose/derive.py and commit its result"


def test_prometheus_and_alertmanager_take_their_files(tmp_path):
    for name in ("promtool", "amtool"):
        if shutil.which(name) is None:
            pytest.skip(f"not installed: {name}")
    # promtool looks for the token, which is not there yet.
    (tmp_path / "alerts.token").write_text("x")
    for source in ("prometheus/prometheus.yml", "alertmanager/alertmanager.yml"):
        text = (COMPOSE / source).read_text(encoding="utf-8")
        text = text.replace("/etc/rules", str(ROOT / "prometheus/rules"))
        text = text.replace("/run/secrets", str(tmp_path))
        (tmp_path / Path(source).name).write_text(text)
    checked = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rule files found" in checked.stdout
    checked = run("amtool", "check-config", tmp_path / "alertmanager.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Secrets as `prepare` makes them, for the user who runs this."""
    if os.geteuid() != 0:
        pytest.skip("deals files to other users: needs root")
    directory = tmp_path_factory.mktemp("site")
    make(directory, "192.168.122.1")
    return directory


def make(directory, *names):
    made = run(
        *(sys.executable, COMPOSE / "make_secrets.py", directory),
        *(f"{os.getuid()}:{os.getgid()}", *names),
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("service", OURS)
def test_our_services_take_their_files(service, site, tmp_path):
    text = (COMPOSE / service / f"{service}.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"/run/secrets/([\w.]+)", text))
    dealt = {path.name for path in (site / service).glob("*")}
    assert named == dealt
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("/run/secrets", str(site / service)))
    checked = run(sys.executable, "-m", service, "--config", path, "--check-config")
    assert (checked.returncode, checked.stdout) == (0, "configuration OK\n"), checked.stderr


def test_the_dispatcher_takes_the_postgresql_of_the_profile(site, tmp_path):
    example = (COMPOSE / "env.example").read_text(encoding="utf-8")
    offered = dict(re.findall(r"^#   (\w+)=(.*)$", example, re.M))
    assert SERVICES["postgres"]["profiles"] == [offered["COMPOSE_PROFILES"]]
    url = offered["DISPATCHER_DATABASE"]
    made = SERVICES["postgres"]["environment"]
    assert url == f"postgresql://{made['POSTGRES_USER']}@postgres/{made['POSTGRES_DB']}"
    assert SERVICES["postgres"]["networks"] == ["services"]
    passwords = [site / name / "postgres.password" for name in ("dispatcher", "postgres")]
    assert passwords[0].read_bytes() == passwords[1].read_bytes()
    assert Path(made["POSTGRES_PASSWORD_FILE"]).name == passwords[1].name
    path = tmp_path / "config.yaml"
    text = (COMPOSE / "dispatcher/dispatcher.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("/run/secrets", str(site / "dispatcher")))
    checked = run(
        *(sys.executable, "-m", "dispatcher", "--config", path, "--check-config"),
        VIRTSCALE_DISPATCHER_DATABASE=url,
    )
    assert (checked.returncode, checked.stdout) == (0, "configuration OK\n"), checked.stderr


def test_each_secret_is_for_its_reader_only_and_is_made_once(site):
    assert site.stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    make(site, "192.168.122.1")
    assert before == {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    dealt = [path for path in before if not path.is_relative_to(site / "secrets")]
    assert len(dealt) == 14
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in dealt)
    assert {path.stat().st_uid for path in dealt} == {os.getuid(), 65534, 472, 999}
    for path in (site / "secrets").rglob("*.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_further_name_renews_the_certificate_and_keeps_the_rest(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("deals files to other users: needs root")
    make(tmp_path, "192.168.122.1")
    before = {path.name: path.read_bytes() for path in (tmp_path / "dispatcher").iterdir()}
    make(tmp_path, "dispatcher.example")
    after = {path.name: path.read_bytes() for path in (tmp_path / "dispatcher").iterdir()}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"dispatcher.pem", "dispatcher.key"}
    shown = run("openssl", "x509", "-noout", "-text", "-in", tmp_path / "dispatcher/dispatcher.pem")
    for name in ("DNS:dispatcher,", "DNS:dispatcher.example", "IP Address:192.168.122.1"):
        assert name in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--workers", "virbr0"], {}, ["virbr0", "ip address"]),
        (["--workers"], {}, ["--workers needs a value"]),
        (["--nonsense"], {}, ["--nonsense: no such option", "--help"]),
        ([], {"VIRTSCALE_CONTAINER_ENGINE": "no-engine"}, ["no-engine", "does not answer"]),
    ],
)
def test_prepare_says_what_is_wrong_and_changes_nothing(arguments, environ, words):
    done = run(COMPOSE / "prepare", *arguments, **environ)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert "fix: " in done.stderr


def test_the_readmes_commands_are_what_the_engines_test_types():
    """Without an engine this is all that is known of them: test_containers.py types them."""
    prepare, *compose = readme.commands_under("In containers")
    assert prepare.split() == ["deploy/compose/prepare"]
    assert [line.split()[:2] for line in compose] == [["docker", "compose"]] * 2
    assert [line.split()[2:] for line in compose] == [["up", "--detach"], ["ps"]]
    # It reads them there itself.
    typed = (ROOT / "tests/e2e/test_containers.py").read_text(encoding="utf-8")
    assert typed.count("readme.the_one(SECTION, ") == 3


def test_prepare_explains_itself():
    done = run(COMPOSE / "prepare", "--help")
    assert done.returncode == 0
    assert "--workers ADDRESS" in done.stdout
    assert "set -eu" not in done.stdout


_LAY_OUT = """
import pathlib, sys, tomllib
sys.path.insert(0, "deploy")
import parts
service, library = sys.argv[1], pathlib.Path(sys.argv[2])
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
parts.copy_own(service, library)
parts.copy_needed(service, project, library)
parts.write_facts(project, library)
"""


@pytest.mark.parametrize("service", ["scaler", "dispatcher"])
def test_a_service_starts_with_what_its_image_holds(service, tmp_path):
    """The collector's is that of its Debian package, which has a test of its own."""
    library = tmp_path / "library"
    laid = run(sys.executable, "-c", _LAY_OUT, service, library)
    assert laid.returncode == 0, laid.stderr
    start = f"import sys; sys.path.insert(0, {str(library)!r})\n"
    start += f"from {service}.__main__ import main; sys.exit(main(['--check-config']))"
    # Without the packages of the environment that runs this test.
    checked = run(sys.executable, "-I", "-S", "-c", start, cwd=tmp_path, HOME=str(tmp_path))
    assert (checked.returncode, checked.stdout) == (0, "configuration OK\n"), checked.stderr
    assert not (library / "rich").exists()
    assert not (library / "stack").exists()
