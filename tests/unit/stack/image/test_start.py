from stack.image.guest import start


def structure(*strings: str) -> bytes:
    return (
        bytes([11, 5, 0, 11, len(strings)]) + b"".join(s.encode() + b"\0" for s in strings) + b"\0"
    )


def test_credentials_of_the_domain_become_the_workers_environment() -> None:
    raw = structure(
        "io.systemd.credential:virtscale.dispatcher=10.0.2.2:15051",
        "io.systemd.credential:virtscale.join-token=v1.a=b",
        "somebody else's string",
        "io.systemd.credential:other=1",
    )

    assert start.settings(start.strings(raw)) == {
        "VIRTSCALE_DISPATCHER": "10.0.2.2:15051",
        "VIRTSCALE_JOIN_TOKEN": "v1.a=b",
    }


def test_what_the_host_gives_as_files_is_read_too(tmp_path) -> None:
    for name, content in (("virtscale.tls-key", "line\nline\n"), ("other", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "raw").write_text(content)

    assert start.files(str(tmp_path)) == {"VIRTSCALE_TLS_KEY": "line\nline\n"}
    assert start.files(str(tmp_path / "missing")) == {}


def test_a_structure_without_strings_says_nothing() -> None:
    assert start.settings(start.strings(structure())) == {}
