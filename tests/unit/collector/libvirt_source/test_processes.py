import os
import subprocess
import sys
from pathlib import Path

from collector.libvirt_source.processes import Process, Processes
from tests.unit.collector.libvirt_source import fake_proc


def test_a_domains_process_is_known_by_the_uuid_in_its_command_line(tmp_path: Path) -> None:
    fake_proc.add(tmp_path, 7, "one", started=3, pages=12)
    fake_proc.add(tmp_path, 8, "two", started=4)
    (tmp_path / "version").write_text("Linux")
    (tmp_path / "9").mkdir()
    processes = Processes(tmp_path)
    found = processes.find({"one", "three"})
    assert found == {"one": Process(7, 3)}
    assert processes.resident_kib(found["one"]) == 12 * fake_proc.PAGE_KIB


def test_two_that_claim_to_be_one_domain_are_none(tmp_path: Path) -> None:
    fake_proc.add(tmp_path, 7, "one")
    fake_proc.add(tmp_path, 8, "one")
    assert Processes(tmp_path).find({"one"}) == {}


def test_a_number_that_belongs_to_another_process_by_now_tells_nothing(tmp_path: Path) -> None:
    fake_proc.add(tmp_path, 7, "one", started=3)
    processes = Processes(tmp_path)
    (process,) = processes.find({"one"}).values()
    fake_proc.add(tmp_path, 7, "two", started=99)
    assert processes.resident_kib(process) is None
    for file in (tmp_path / "7").iterdir():
        file.unlink()
    assert processes.resident_kib(process) is None


def test_only_the_command_lines_of_qemus_are_read(tmp_path: Path) -> None:
    fake_proc.add(tmp_path, 7, "one")
    (tmp_path / "7" / "comm").write_text("bash\n")
    assert Processes(tmp_path).find({"one"}) == {}


def test_where_nothing_can_be_seen_nothing_is_found(tmp_path: Path) -> None:
    assert Processes(tmp_path / "hidden").find({"one"}) == {}
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_bytes(b"kvm")
    (tmp_path / "7" / "cmdline").write_bytes(b"qemu\0-uuid")
    assert Processes(tmp_path).find({"", "one"}) == {}


def test_the_kernel_is_read_as_it_writes() -> None:
    uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    named = "open('/proc/self/comm', 'w').write('qemu-system-x86'); print(flush=True); input()"
    command = [sys.executable, "-c", named, "-uuid", uuid]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            # Nothing is resident in the moment in which a program begins.
            child.stdout.readline()
            processes = Processes()
            found = processes.find({uuid})
            assert found[uuid].pid == child.pid
            resident = processes.resident_kib(found[uuid])
            assert resident is not None
            assert 100 < resident < 1 << 20
            assert found[uuid].started / os.sysconf("SC_CLK_TCK") > 0
        finally:
            child.communicate(b"\n")
    assert processes.resident_kib(found[uuid]) is None
