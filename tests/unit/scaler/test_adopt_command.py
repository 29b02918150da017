import pytest

from scaler.adopt_command import main
from scaler.identity import own_identity
from tests.simulation.hypervisor_fake import FakeHypervisor


class Site:
    """A pool of three: ours, another scaler's and nobody's."""

    def __init__(self, directory):
        self.directory = directory
        self.is_closed = False
        self.hypervisor = FakeHypervisor()
        for name in ("mine", "other", "free"):
            self.hypervisor.define(name)
        self.domains = self.hypervisor.domains
        self.domains["other"].scaler, self.domains["other"].token = "old-1", 9

    def connect(self, config, scaler):
        self.hypervisor.scaler = self.domains["mine"].scaler = scaler
        self.hypervisor.close = lambda: setattr(self, "is_closed", True)
        return self.hypervisor

    def adopt(self, *arguments):
        return main([*arguments, "--state-dir", str(self.directory)], self.connect)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def name(tmp_path):
    return own_identity(tmp_path)


def test_without_domains_it_shows_whose_they_are(site, name, capsys):
    assert site.adopt() == 0
    assert capsys.readouterr().out == f"free: nobody\nmine: {name} (we)\nother: old-1\n"
    assert site.domains["other"].scaler == "old-1"
    assert site.is_closed


@pytest.mark.parametrize("arguments", [("--all",), ("other",), ("other", "mine")])
def test_takes_over_and_says_from_whom(site, name, capsys, arguments):
    assert site.adopt(*arguments) == 0
    assert capsys.readouterr().out == "other: taken over from old-1\n"
    # The token is of the other's counting.
    assert (site.domains["other"].scaler, site.domains["other"].token) == (name, 0)
    assert site.domains["free"].scaler == ""
    assert site.adopt("--all") == 0
    assert capsys.readouterr().out == "nothing to take over\n"


def test_a_name_that_is_not_there_takes_nothing(site, name, capsys):
    assert site.adopt("other", "wrong") == 1
    assert "no domain of the pool is called wrong; there are: free, mine, other" in (
        capsys.readouterr().err
    )
    assert site.domains["other"].scaler == "old-1"


def test_a_directory_of_no_scaler_is_refused(site, capsys):
    assert site.adopt("--all") == 1
    assert "no scaler has started with it yet" in capsys.readouterr().err


def test_libvirt_that_does_not_answer_is_told(site, name, capsys):
    site.hypervisor.is_away = True
    assert site.adopt("--all") == 1
    assert "cannot connect" in capsys.readouterr().err
    assert site.is_closed
