import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hypervisor import credentials, definition, membership, pool_record
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.errors import HypervisorError
from tests.unit.stack.hypervisor.definitions import PLAIN, definitions, same

XML = PLAIN.format(devices="<interface type='user'/>")
SECRET = "c2VjcmV0" * 20
TOLD = Credentials(
    {"worker-id": "golden", "dispatcher": "10.0.2.2:15052", "tls-key": SECRET},
    {"join-token": "/secret/token"},
)
_CREDENTIALS = st.builds(
    Credentials,
    st.dictionaries(st.sampled_from(["dispatcher", "tls-ca", "tls-key"]), st.just("value")),
    st.dictionaries(st.sampled_from(["tls-key", "join-token"]), st.just("/path")),
)


def adopted(xml: str = XML, wanted: Credentials = TOLD, **settings: str) -> membership.Change:
    return membership.adopt(xml, **{"pool": "web", "tier": "cold", **settings}, wanted=wanted)


@given(definitions(), _CREDENTIALS)
def test_release_is_the_inverse_of_adopt(xml: str, wanted: Credentials) -> None:
    assert same(membership.release(adopted(xml, wanted).after).after) == same(xml)


@given(definitions(), _CREDENTIALS, _CREDENTIALS)
def test_adopting_again_is_as_adopting_once(
    xml: str, first: Credentials, second: Credentials
) -> None:
    again = adopted(adopted(xml, first).after, second)
    assert same(again.after) == same(adopted(xml, second).after)


@given(definitions(), _CREDENTIALS)
def test_the_guest_is_told_all_that_is_wanted(xml: str, wanted: Credentials) -> None:
    found = credentials.found(definition.parse(adopted(xml, wanted).after))
    assert set(found) == wanted.names


def test_what_somebody_added_since_stays() -> None:
    theirs = adopted().after.replace("</oemStrings>", "<entry>theirs</entry></oemStrings>")
    released = membership.release(theirs).after
    assert "<entry>theirs</entry>" in released
    assert 'mode="sysinfo"' in released
    assert "virtscale" not in released


def test_credentials_written_by_hand_are_kept_and_not_taken_away() -> None:
    own = "<entry>io.systemd.credential:virtscale.dispatcher=192.0.2.1:1</entry>"
    text = XML.replace(
        "</os>",
        f"<smbios mode='sysinfo'/></os><sysinfo type='smbios'><oemStrings>{own}</oemStrings>"
        "</sysinfo>",
    )
    change = adopted(text)
    assert change.after.count("virtscale.dispatcher=") == 1
    assert own in membership.release(change.after).after


def test_the_difference_shows_no_secret() -> None:
    shown = adopted().difference("golden")
    assert "+      <entry>io.systemd.credential:virtscale.tls-key=(secret)</entry>" in shown
    assert SECRET not in shown


def test_the_owners_own_secrets_are_not_shown_either() -> None:
    text = XML.replace("<devices>", "<devices><graphics type='vnc' passwd='hush'/>").replace(
        "</os>",
        "<smbios mode='sysinfo'/></os><sysinfo type='smbios'><oemStrings><entry>io.systemd"
        ".credential.binary:passwd.root=aHVzaA</entry></oemStrings></sysinfo>",
    )
    # All of it: as a difference from nothing.
    shown = membership.Change("", adopted(text).after).difference("golden")
    assert "passwd.root=(secret)" in shown
    assert 'passwd="(secret)"' in shown
    assert "hush" not in shown
    assert "aHVzaA" not in shown


def test_a_mark_alone_changes_nothing_of_the_machine() -> None:
    assert not adopted(wanted=Credentials()).is_of_the_machine
    assert adopted().is_of_the_machine


def test_the_scalers_notes_survive_a_renewal_and_nobody_elses_do() -> None:
    note = "<virtscale:domain pool='web' tier='cold' scaler='us' operation='start' token='4'/>"
    marked = XML.replace(
        "</metadata>",
        note.replace("domain ", "domain xmlns:virtscale='urn:virtscale:domain:1' ") + "</metadata>",
    )
    ours = pool_record.membership(definition.parse(adopted(marked, scaler="us").after))
    assert (ours["scaler"], ours["operation"], ours["token"]) == ("us", "start", "4")
    assert membership.adoption_faults(marked, pool="web", wanted=TOLD, scaler="us") == []
    (fault,) = membership.adoption_faults(marked, pool="web", wanted=TOLD)
    assert "virtscale adopt golden" in fault


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("<acpi/>", "<pae/>"), "add <acpi/> to <features>"),
        (("<features>", "<on_poweroff>restart</on_poweroff><features>"), "starts again"),
        (("<name>golden", f"<name>{'g' * 129}"), "virsh domrename"),
        (("</os>", "<smbios mode='host'/></os>"), "--no-credentials"),
        (
            (
                "</os>",
                "</os><sysinfo type='smbios'><oemStrings><entry>io.systemd.credential:virtscale."
                "worker-id=other</entry></oemStrings></sysinfo>",
            ),
            "'other'",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(change: tuple[str, str], words: str) -> None:
    faults = membership.adoption_faults(XML.replace(*change), pool="web", wanted=TOLD)
    assert len(faults) == 1
    assert words in faults[0]


@pytest.mark.parametrize(
    ("attributes", "record", "adoption", "release"),
    [
        ({"pool": "other"}, None, "pool release golden", ""),
        ({"pool": "web", "owner": "virtscale"}, None, "leave it there", "pool destroy web"),
        (None, pool_record.Record("template"), "must not be started", "template"),
        (None, pool_record.Record("clone", "web", "t"), "virtscale made it", "pool destroy web"),
        (None, None, "", "is in no pool"),
        ({"pool": "web"}, None, "", ""),
    ],
)
def test_whose_a_domain_is_decides(
    attributes: dict[str, str] | None,
    record: pool_record.Record | None,
    adoption: str,
    release: str,
) -> None:
    root = definition.parse(XML)
    pool_record.write(root, attributes, record)
    text = definition.render(root)
    for words, faults in (
        (adoption, membership.adoption_faults(text, pool="web", wanted=TOLD)),
        (release, membership.release_faults(text)),
    ):
        assert [words in fault for fault in faults] == ([True] if words else [])


def test_a_definition_without_its_parts_is_named() -> None:
    with pytest.raises(HypervisorError, match="'x' has no <os>"):
        adopted("<domain><name>x</name></domain>")


_TEXTS = st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), max_size=3)


@given(_TEXTS.map(tuple), _TEXTS.map(tuple))
def test_a_record_is_read_as_it_was_written(added: tuple[str, ...], files: tuple[str, ...]) -> None:
    root = definition.parse(XML)
    record = pool_record.Record("clone", "web", "golden", added=added, overlays=files, stamps=added)
    pool_record.write(root, None, record)
    assert pool_record.of(definition.parse(definition.render(root))) == record
