"""`virtscale pool` as a user calls it, on a private libvirtd with real qcow2 overlays."""

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest
from typer.testing import CliRunner, Result

from scaler.libvirt_domains import METADATA_URI
from stack.certificates import Site
from stack.commands.pool import app
from stack.hypervisor import pool as pool_definitions
from stack.hypervisor.pool_record import RECORD_URI
from tests.contract.hypervisor_libvirtd import PrivateLibvirtd, until

_NOBODY = 65534
# `hlt` after `cli`: it runs, does nothing and costs nothing.
_HALTS = bytes([0xFA, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <metadata><o:note xmlns:o='urn:somebody'>mine</o:note></metadata>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features>{features}</features>
  <devices>{devices}<controller type='usb' model='none'/></devices>
</domain>
"""
_NETWORK = "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>"


class Machine:
    """A libvirtd, its disks and the command."""

    def __init__(self, daemon: PrivateLibvirtd, site: Path) -> None:
        self.uri = daemon.uri
        self.disks = daemon.root / "home" / "disks"
        self.site = site
        self.connection = libvirt.open(self.uri)

    def __call__(self, *arguments: str, code: int = 0, says: str = "") -> str:
        done = self.run(*arguments)
        assert done.exit_code == code, done.output
        assert says in done.output
        return done.output

    def run(self, *arguments: str) -> Result:
        own = ("--dir", str(self.site)) if arguments[0] in ("adopt", "create") else ()
        state = ("--state", str(self.site.parent))
        return CliRunner().invoke(app, [*arguments, *own, *state, "--url", self.uri])

    def disk(self, name: str, format_: str = "raw") -> Path:
        self.disks.mkdir(exist_ok=True)
        path = self.disks / name
        path.write_bytes(_HALTS.ljust(1 << 20, b"\0"))
        if format_ == "qcow2":
            raw = path.rename(path.with_suffix(".raw"))
            command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)]
            subprocess.run(command, check=True)
            raw.unlink()
        for each in (self.disks, path):
            if os.geteuid() == 0:
                os.chown(each, _NOBODY, _NOBODY)
        return path

    def define(self, name: str, *disks: Path, features: str = "<acpi/>") -> libvirt.virDomain:
        devices = _NETWORK + "".join(
            f"<disk type='file' device='disk'><driver name='qemu' type='{disk.suffix[1:]}'/>"
            f"<source file='{disk}'/><target dev='vd{letter}' bus='virtio'/></disk>"
            for letter, disk in zip("abc", disks, strict=False)
        )
        text = _DOMAIN.format(name=name, features=features, devices=devices)
        return self.connection.defineXML(text)

    def names(self) -> list[str]:
        return sorted(domain.name() for domain in self.connection.listAllDomains())

    def files(self) -> list[str]:
        return sorted(path.name for path in self.disks.iterdir())

    def xml(self, name: str) -> ElementTree.Element:
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE
        return ElementTree.fromstring(self.connection.lookupByName(name).XMLDesc(flags))

    def text(self, name: str) -> str:
        """The definition, whatever the prefixes and the white space."""
        text = ElementTree.tostring(self.xml(name), encoding="unicode")
        return ElementTree.canonicalize(text, strip_text=True, rewrite_prefixes=True)

    def membership(self, name: str) -> dict[str, str] | None:
        found = self.xml(name).find(f"metadata/{{{METADATA_URI}}}domain")
        return None if found is None else dict(found.attrib)

    def close(self) -> None:
        for domain in self.connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        for pool in self.connection.listAllStoragePools():
            pool.destroy()
        self.connection.close()
        for path in self.disks.glob("*"):
            path.unlink()


@pytest.fixture(scope="module")
def daemon() -> Iterator[PrivateLibvirtd]:
    started = PrivateLibvirtd()
    yield started
    started.close()


@pytest.fixture
def pool(daemon: PrivateLibvirtd, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(daemon, tmp_path / "tls")
    yield machine
    machine.close()


@pytest.fixture
def site(pool: Machine) -> Site:
    made = Site(pool.site)
    made.make_ca("test", 1_700_000_000.0)
    return made


@pytest.mark.parametrize("owner", [_NOBODY, 0] if os.geteuid() == 0 else [os.geteuid()])
def test_adopt_marks_tells_and_release_takes_back_exactly_that(
    pool: Machine, site: Site, owner: int
) -> None:
    for path in (site.directory, *site.directory.iterdir()):
        os.chown(path, owner, -1)
    site.directory.chmod(0o755)
    for above in list(site.directory.parents)[:-2]:
        above.chmod(0o755)
    pool.define("mine")
    before = pool.text("mine")
    shown = pool("adopt", "mine", "--pool", "web", "--dry-run", says="+")
    assert (pool.text("mine"), site.pair("worker", "mine").exists) == (before, False)
    assert "nobody is here" in pool("adopt", "mine", "--pool", "web", code=2)
    assert pool.text("mine") == before
    said = pool("adopt", "mine", "--pool", "web", "--tier", "spare", "--yes")
    assert pool.membership("mine") == {"pool": "web", "tier": "spare"}
    entries = {
        (entry.text or "").partition("=")[0].rpartition(".")[2]: (entry.text or "")
        for entry in pool.xml("mine").iterfind("sysinfo/oemStrings/entry")
    }
    assert entries["dispatcher"].endswith("=10.0.2.2:15052")
    assert entries["worker-id"].endswith("=mine")
    files = {
        entry.get("name", "").rpartition(".")[2]: entry.get("file", "")
        for entry in pool.xml("mine").iterfind("sysinfo[@type='fwcfg']/entry")
    }
    assert {*entries, *files} == {"dispatcher", "worker-id", "tls-ca", "tls-cert", "tls-key"}
    # QEMU runs as nobody here, or as whoever runs this.
    assert ("tls-key" in files) == (owner != 0)
    key = site.pair("worker", "mine").key
    assert key.stat().st_uid == owner
    if files:
        assert files == {"tls-key": str(key)}
    else:
        assert entries["tls-key"].partition("=")[2] not in shown + said
    adopted = pool.text("mine")
    pool("adopt", "mine", "--pool", "web", "--tier", "spare", "--yes", says="already")
    assert pool.text("mine") == adopted
    pool("release", "mine", "--yes")
    assert pool.text("mine") == before


def test_the_first_of_all_makes_the_stacks_authority(pool: Machine) -> None:
    user = pwd.getpwnam("virtscale").pw_uid if os.geteuid() == 0 else os.geteuid()
    pool.define("mine")
    # Below a directory of pytest's the stack's user may not pass.
    with tempfile.TemporaryDirectory(prefix="vs-") as above:
        Path(above).chmod(0o755)
        state = Path(above) / "state"
        arguments = ["mine", "--url", pool.uri, "--state", str(state)]
        done = CliRunner().invoke(app, ["adopt", *arguments, "--dry-run"])
        assert (done.exit_code, state.exists()) == (0, False)
        done = CliRunner().invoke(app, ["adopt", *arguments, "--yes"])
        assert done.exit_code == 0, done.output
        made = [path for path in (state / "secrets" / "tls").rglob("*") if path.is_file()]
        assert {path.name for path in made} == {"ca.key", "ca.pem", "mine.key", "mine.pem"}
        assert {path.stat().st_uid for path in made} == {user}


def test_a_running_domain_is_marked_live_when_its_guest_needs_nothing(
    pool: Machine, site: Site
) -> None:
    domain = pool.define("mine", pool.disk("boot.raw"))
    domain.create()
    pool("adopt", "mine", "--yes", code=1, says="counts from its next start on")
    pool("adopt", "mine", "--yes", "--no-credentials")
    live, config = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    for area in (live, config):
        for uri in (METADATA_URI, RECORD_URI):
            assert domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, uri, area)
    pool("release", "mine", "--yes")
    for area in (live, config):
        with pytest.raises(libvirt.libvirtError):
            domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI, area)
    assert domain.isActive()


def test_what_cannot_be_adopted_is_told_with_the_fix_and_nothing_changes(pool: Machine) -> None:
    pool.define("mute", features="<pae/>")
    pool.define("good")
    before = pool.text("good")
    pool("adopt", "good", "mute", "--yes", code=1, says="add <acpi/>")
    pool("adopt", "good", "gone", "--yes", code=1, says="no domain 'gone'")
    assert pool.text("good") == before
    pool("adopt", "good", "--yes", "--no-credentials")
    pool("adopt", "good", "--pool", "web", "--yes", code=1, says="virtscale pool release good")
    pool("release", "mute", "--yes", code=1, says="is in no pool")
    pool("adopt", "good", "--pool", "no name", code=2, says="a pool's name is")
    pool("adopt", "good", "--dispatcher", "somewhere", code=2, says="give HOST:PORT")
    domain = pool.connection.lookupByName("good")
    mark = "<domain pool='default' scaler='elsewhere'/>"
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, "v", METADATA_URI, 2)
    pool("adopt", "good", "--yes", code=1, says="virtscale adopt good")


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_clones_are_made_added_removed_and_destroyed(pool: Machine, site: Site, format_) -> None:
    disk = pool.disk(f"golden.{format_}", format_)
    pool.define("golden", disk)
    pool.define("mine")
    content = disk.read_bytes()
    pool(
        "create", "web", "--template", "golden", "--count", "2", "--dry-run", says="to make: web-1"
    )
    assert (pool.names(), pool.files()) == (["golden", "mine"], [disk.name])
    pool("create", "web", "--template", "golden", "--count", "2", "--memory", "48", says="[2/2]")
    assert pool.names() == ["golden", "mine", "web-1", "web-2"]
    assert pool.files() == [disk.name, "web-1-vda.qcow2", "web-2-vda.qcow2"]
    first, second = pool.xml("web-1"), pool.xml("web-2")
    facts = json.loads(_output("qemu-img", "info", "--output=json", pool.disks / "web-1-vda.qcow2"))
    assert (facts["format"], facts["backing-filename"]) == ("qcow2", str(disk))
    assert (facts["backing-filename-format"], facts["virtual-size"]) == (format_, 1 << 20)
    for path in ("uuid", "devices/interface/mac", "sysinfo/system/entry"):
        one, other = first.find(path), second.find(path)
        assert one is not None
        assert other is not None
        assert ElementTree.tostring(one) != ElementTree.tostring(other)
    assert first.findtext("memory") == str(48 * 1024)
    assert pool.membership("web-1") == {
        "pool": "web", "tier": "cold", "owner": "virtscale", "template": "golden"
    }  # fmt: skip
    assert site.pair("worker", "web-2").exists
    pool("adopt", "golden", "--yes", code=1, says="template")
    pool("adopt", "mine", "--pool", "web", "--yes")

    domain = pool.connection.lookupByName("web-2")
    domain.create()
    until(domain.isActive, "the clone to run on its overlay")
    pool("create", "web", "--template", "golden", "--count", "3")
    pool("create", "web", "--template", "golden", "--count", "1", says="kept: web-2 is active")
    assert pool.names() == ["golden", "mine", "web-1", "web-2"]
    assert pool.files() == [disk.name, "web-1-vda.qcow2", "web-2-vda.qcow2"]
    rows = json.loads(pool("list", "--json"))["domains"]
    assert [(row["domain"], row["owner"], row["state"]) for row in rows] == [
        ("golden", "template", "off"),
        ("mine", "adopted", "off"),
        ("web-1", "clone", "off"),
        ("web-2", "clone", "running"),
    ]

    # What `up --define` has made and removes at its end is something else.
    assert pool_definitions.undefine_pool(pool.connection, "web") == []
    pool("destroy", "web", "--yes", code=2, says="active: web-2")
    pool("destroy", "web", "--yes", "--force", "--timeout", "0", says="its power is cut")
    assert (pool.names(), pool.files()) == (["golden", "mine"], [disk.name])
    assert pool.membership("mine") == {"pool": "web", "tier": "cold"}
    assert disk.read_bytes() == content
    assert RECORD_URI not in pool.text("golden")


def test_a_storage_pool_makes_the_overlays_where_libvirt_runs(pool: Machine) -> None:
    disk = pool.disk("golden.qcow2", "qcow2")
    pool.connection.storagePoolCreateXML(
        f"<pool type='dir'><name>store</name><target><path>{pool.disks}</path></target></pool>"
    )
    pool.define("golden", disk)
    create = ("create", "web", "--template", "golden", "--count", "1", "--no-credentials")
    pool(*create, "--storage", "nowhere", code=1, says="no active storage pool of that name")
    pool(*create, "--storage", "store")
    overlay = pool.disks / "web-1-vda.qcow2"
    facts = json.loads(_output("qemu-img", "info", "--output=json", overlay))
    assert (facts["backing-filename"], facts["virtual-size"]) == (str(disk), 1 << 20)
    pool.connection.lookupByName("web-1").create()
    pool.connection.lookupByName("web-1").destroy()
    pool("destroy", "web", "--yes")
    assert pool.files() == [disk.name]


def seeded(pool: Machine, tmp_path: Path, content: str) -> Path:
    path = tmp_path / "user-data"
    path.write_text(content, encoding="utf-8")
    return path


def test_each_clone_has_a_seed_image_of_its_own(pool: Machine, tmp_path: Path) -> None:
    disk = pool.disk("golden.raw")
    pool.define("golden", disk)
    text = "#cloud-config\npackages: [python3-venv]\n"
    given = str(seeded(pool, tmp_path, text))
    create = ("create", "web", "--template", "golden", "--no-credentials", "--user-data", given)
    said = pool(*create, "--count", "2", "--dry-run")
    assert f"{given} in {pool.disks}/web-2-seed.iso" in said
    assert pool.files() == [disk.name]
    pool(*create, "--count", "2")
    seeds = [pool.disks / f"web-{number}-seed.iso" for number in (1, 2)]
    identities = []
    for seed in seeds:
        # As cloud-init's NoCloud looks for it, and what it then finds there.
        facts = dict(
            line.split("=", 1) for line in _output("blkid", "-o", "export", "-p", seed).split("\n")
            if "=" in line
        )  # fmt: skip
        assert (facts["TYPE"], facts["LABEL"]) == ("iso9660", "cidata")
        assert _output("isoinfo", "-J", "-i", seed, "-x", "/user-data") == text
        identities.append(json.loads(_output("isoinfo", "-R", "-i", seed, "-x", "/meta-data")))
        assert seed.stat().st_mode & 0o777 == 0o600
    assert [one["local-hostname"] for one in identities] == ["web-1", "web-2"]
    for name, one in zip(("web-1", "web-2"), identities, strict=True):
        assert one["instance-id"] == pool.connection.lookupByName(name).UUIDString()
    # QEMU takes it as a disk beside the overlay.
    domain = pool.connection.lookupByName("web-1")
    domain.create()
    until(domain.isActive, "the clone to run with its seed image")
    assert {one.get("dev") for one in pool.xml("web-1").iterfind("devices/disk/target")} == {
        *("vda", "vdb")
    }
    assert int(domain.blockInfo("vdb")[0]) == seeds[0].stat().st_size
    domain.destroy()
    pool(*create[:-2], "--count", "3")
    assert "web-3-seed.iso" not in pool.files()
    pool("destroy", "web", "--yes", says="web-1: undefined, 2 file(s) removed")
    assert (pool.names(), pool.files()) == (["golden"], [disk.name])


@pytest.mark.parametrize("bus", ["sata", "ide", "scsi"])
def test_a_seed_image_is_a_cd_rom_where_a_disk_would_be_written_to(
    pool: Machine, tmp_path: Path, bus: str
) -> None:
    target = {"sata": "sda", "ide": "hda", "scsi": "sda"}[bus]
    disk = pool.disk("golden.raw")
    text = _DOMAIN.format(
        name="golden",
        features="<acpi/>",
        devices=f"<disk type='file' device='disk'><source file='{disk}'/>"
        f"<target dev='{target}' bus='{bus}'/></disk>",
    )
    pool.connection.defineXML(text.replace("'pc'", "'q35'") if bus == "sata" else text)
    given = str(seeded(pool, tmp_path, "#!/bin/sh\ntrue\n"))
    create = ("create", "web", "--template", "golden", "--count", "1", "--no-credentials")
    pool(*create, "--user-data", given)
    domain = pool.connection.lookupByName("web-1")
    domain.create()
    until(domain.isActive, "the clone to run with its seed image")
    domain.destroy()
    pool("destroy", "web", "--yes")
    assert pool.files() == [disk.name]


def test_a_storage_pool_stores_the_seed_images_where_libvirt_runs(
    pool: Machine, tmp_path: Path
) -> None:
    disk = pool.disk("golden.qcow2", "qcow2")
    pool.connection.storagePoolCreateXML(
        f"<pool type='dir'><name>store</name><target><path>{pool.disks}</path></target></pool>"
    )
    pool.define("golden", disk)
    text = "#cloud-config\nfinal_message: " + "long " * 50_000 + "\n"
    given = str(seeded(pool, tmp_path, text))
    pool(
        *("create", "web", "--template", "golden", "--count", "1", "--no-credentials"),
        *("--user-data", given, "--storage", "store"),
    )
    seed = pool.disks / "web-1-seed.iso"
    assert _output("isoinfo", "-J", "-i", seed, "-x", "/user-data") == text
    pool.connection.lookupByName("web-1").create()
    pool.connection.lookupByName("web-1").destroy()
    pool("destroy", "web", "--yes")
    assert pool.files() == [disk.name]


def test_user_data_that_cannot_be_used_is_told_and_nothing_is_made(
    pool: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = pool.disk("golden.raw")
    template = pool.define("golden", disk)
    before = pool.text("golden")
    create = ("create", "web", "--template", "golden", "--count", "2", "--no-credentials")
    pool(*create, "--user-data", str(tmp_path / "none"), code=2, says="No such file or directory")
    pool(*create, "--user-data", str(tmp_path), code=2, says="Is a directory")
    bad = str(seeded(pool, tmp_path, "#cloud-config\npassword: [sesame\n"))
    said = pool(*create, "--user-data", bad, code=2, says=f"--user-data {bad}: line 3, column 1")
    assert "sesame" not in said
    named = str(seeded(pool, tmp_path, "#cloud-config\nhostname: one\n"))
    pool(*create, "--user-data", named, "--dry-run", says="its hostname is that of every clone")
    stranger = pool.disks / "web-2-seed.iso"
    stranger.write_text("somebody's")
    pool(*create, "--user-data", named, code=1, says="web-2-seed.iso exists already")
    stranger.unlink()
    # What libvirt refuses only when it defines the domain.
    pool(*create, "--user-data", named, "--vcpus", "500", code=1)
    assert (pool.names(), pool.files(), pool.text("golden")) == (["golden"], [disk.name], before)
    template.undefine()
    pool.define("golden")
    pool(*create, "--user-data", named, code=1, says="say where with --storage")
    pool(*create, "--user-data", named, "--storage", str(pool.disks))
    pool("destroy", "web", "--yes")
    assert pool.files() == [disk.name]
    monkeypatch.setenv("PATH", str(tmp_path))
    pool(*create, "--user-data", named, code=1, says="apt-get install genisoimage")


def test_all_or_nothing(pool: Machine) -> None:
    disk = pool.disk("golden.raw")
    template = pool.define("golden", disk)
    before = pool.text("golden")
    create = ("create", "web", "--template", "golden", "--count", "3", "--no-credentials")
    stranger = pool.disks / "web-3-vda.qcow2"
    stranger.write_text("somebody's")
    pool(*create, code=1, says="exists already")
    stranger.unlink()
    # What libvirt refuses only when it defines the domain.
    pool(*create, "--vcpus", "500", code=1)
    assert (pool.names(), pool.files(), pool.text("golden")) == (["golden"], [disk.name], before)
    template.create()
    pool(*create, code=1, says="do not start it any more")
    template.destroy()
    pool.define("web-2")
    pool(*create, code=1, says="it is not touched")
    pool("create", "web", "--template", "golden", "--count", "0", code=2)
    pool("create", "web", "--template", "absent", "--count", "1", code=1, says="no such domain")
    pool("destroy", "web", "--yes", code=2, says="has made no domain of it")
    assert pool.names() == ["golden", "web-2"]


def test_a_file_that_another_domain_uses_is_kept(pool: Machine) -> None:
    pool.define("golden", pool.disk("golden.raw"))
    pool("create", "web", "--template", "golden", "--count", "1", "--no-credentials")
    overlay = pool.disks / "web-1-vda.qcow2"
    pool.define("thrifty", overlay)
    pool("destroy", "web", "--yes", says="'thrifty' uses it")
    assert overlay.exists()
    assert pool.names() == ["golden", "thrifty"]


def test_a_template_that_was_started_after_all_gets_no_more_clones(pool: Machine) -> None:
    disk = pool.disk("golden.raw")
    template = pool.define("golden", disk)
    create = ("create", "web", "--template", "golden", "--no-credentials", "--count")
    pool(*create, "1")
    template.create()
    template.destroy()
    pool(*create, "2")  # It wrote nothing.
    # As a removal leaves it that was broken off.
    clone = pool.connection.lookupByName("web-2")
    clone.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, METADATA_URI, 2)
    pool(*create, "3", code=1, says="finish it with: virtscale pool destroy web")
    pool("destroy", "web", "--yes", says="web-2: undefined, 1 file(s) removed")
    pool(*create, "1")
    os.utime(disk, (1, 1))
    pool(*create, "3", code=1, says="may be ruined")
    pool("destroy", "web", "--yes")
    pool(*create, "1")


def _output(*command: object) -> str:
    return subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True
    ).stdout


def test_the_list_of_nothing_and_no_libvirt(pool: Machine) -> None:
    pool("list", says="is in a pool")
    done = CliRunner().invoke(app, ["list", "--url", "qemu+unix:///session?socket=/nowhere"])
    assert (done.exit_code, "--url" in done.output) == (1, True)
    done = CliRunner().invoke(app, ["list", "--state", str(pool.site.parent)])
    assert (done.exit_code, "--url URI" in done.output) == (2, True)
