import pytest

from scaler.web_origin import host_fault, is_of_a_page, page_fault, read_fault

OWN = "127.0.0.1:9182"


def environ(host=OWN, origin=None, site=None):
    found = {"HTTP_HOST": host}
    if origin is not None:
        found["HTTP_ORIGIN"] = origin
    if site is not None:
        found["HTTP_SEC_FETCH_SITE"] = site
    return found


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:9182", "localhost:9182", "LOCALHOST", "localhost.:9182", "192.0.2.7:9182"),
        *("[::1]:9182", "[2001:db8::1]", "10.0.0.1", "kvm1.example.org:9182", "KVM1.example.org."),
    ],
)
def test_pages_are_served_by_addresses_and_expected_names(host):
    assert host_fault(host, ("kvm1.example.org",)) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:9182", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "@"),
        *("127.0.0.1@evil.example", "evil.example/127.0.0.1", "localhost:port", "[::1", "0x7f.1"),
        *("kvm1.example.org.evil.example", "127.0.0.1, evil.example", "evil.example#localhost"),
    ],
)
def test_a_name_that_somebody_may_point_here_is_refused(host):
    assert "Host" in host_fault(host, ("kvm1.example.org",))


def test_the_refusal_names_the_fix():
    assert "add the name to page_hosts" in host_fault("kvm2.example.org:9182", ())


@pytest.mark.parametrize(
    "sent",
    [
        environ(),
        environ("any.name.at.all"),
        environ(origin=f"http://{OWN}"),
        environ(origin=f"http://{OWN}", site="same-origin"),
        environ(site="same-origin"),
        environ("localhost", origin="http://localhost:80"),
        # A proxy ends TLS before us.
        environ("kvm1.example.org", origin="https://kvm1.example.org"),
        environ("kvm1.example.org:443", origin="https://kvm1.example.org"),
    ],
)
def test_programs_and_the_own_page_may(sent):
    assert page_fault(sent, ("kvm1.example.org",)) is None
    assert is_of_a_page(sent) is (len(sent) > 1)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (environ(origin="http://evil.example"), "Origin = 'http://evil.example'"),
        (environ(origin="null"), "Origin = 'null'"),
        (environ(origin="http://127.0.0.1:9183"), "Origin"),
        (environ(origin="http://127.0.0.1"), "Origin"),
        (environ(origin="http://localhost:9182"), "Origin"),
        (environ(origin=f"file://{OWN}"), "Origin"),
        (environ(origin=f"http://{OWN}/x"), "Origin"),
        (environ(origin=OWN), "Origin"),
        (environ("", origin="http://"), "Origin"),
        (environ(origin=f"http://{OWN}", site="cross-site"), "Sec-Fetch-Site = 'cross-site'"),
        (environ(origin=f"http://{OWN}", site="same-site"), "Sec-Fetch-Site"),
        (environ(site="none"), "Sec-Fetch-Site"),
        (environ(site="cross-site"), "Sec-Fetch-Site"),
        # The stranger's name was made to resolve to this address: to the browser all is one origin.
        (environ("evil.example", origin="http://evil.example"), "page_hosts"),
        (environ("evil.example", origin="http://evil.example", site="same-origin"), "page_hosts"),
    ],
)
def test_every_other_page_is_refused(sent, text):
    assert text in page_fault(sent, ("kvm1.example.org",))


def test_who_types_the_address_may_read_and_a_page_of_another_site_may_not():
    assert read_fault(environ(site="none"), ()) is None
    assert read_fault(environ(), ()) is None
    assert read_fault(environ(site="cross-site"), ()) is not None
    assert read_fault(environ("evil.example"), ()) is not None
    assert read_fault(environ(origin="http://evil.example", site="none"), ()) is not None
