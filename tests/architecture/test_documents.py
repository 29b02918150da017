"""Documents that nobody tests rot. Links lead somewhere, and files named in the text exist."""

import ast
import json
import re
import subprocess
from xml.etree import ElementTree

import pytest
import yaml

from tests.markdown_blocks import blocks

_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.*-]+)+/?")


def documents(sources):
    return [path for path in sources.paths if path.suffix == ".md"]


def prose(path):
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


def anchors(path):
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(path), re.M)}


def test_every_link_leads_to_a_file_or_heading(sources):
    broken = []
    for path in documents(sources):
        for link in _LINK.findall(prose(path)):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{sources.name(path)}: {link}")
    assert not broken


HOSTS = {
    "www.apache.org",
    "docs.astral.sh",
    "keepachangelog.com",
    "semver.org",
}
"""Whom a reader is sent to. Another one is a choice, made by adding it here."""
_URL = re.compile(r"https?://([A-Za-z0-9.-]+)")
_HERE = re.compile(r"localhost|[\d.]+|.*\.example(\.(org|com|net))?")


def test_links_lead_out_to_known_hosts_only(sources):
    unknown = []
    for path in documents(sources):
        for link in _LINK.findall(prose(path)):
            match = _URL.match(link)
            if match and match[1] not in HOSTS and not _HERE.fullmatch(match[1]):
                unknown.append(f"{sources.name(path)}: {link}")
    assert not unknown


def test_every_host_of_the_list_is_linked(sources):
    links = [link for path in documents(sources) for link in _LINK.findall(prose(path))]
    linked = {match[1] for match in map(_URL.match, links) if match}
    assert linked >= HOSTS - {"www.apache.org"}


def test_no_heading_stands_twice_on_a_page(sources):
    """The second one would have another anchor than it seems to have."""
    twice = []
    for path in documents(sources):
        found = [slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(path), re.M)]
        twice += [f"{sources.name(path)}: {one}" for one in found if found.count(one) > 1]
    assert not twice


def test_the_index_leads_to_every_page(sources):
    index = (sources.root / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [*(sources.root / "docs").glob("*.md"), *(sources.root / "docs" / "howto").glob("*.md")]
    names = {path.relative_to(sources.root / "docs").as_posix() for path in pages} - {"README.md"}
    assert len(names) > 15
    assert [name for name in sorted(names) if f"({name}" not in index] == []


def test_the_readme_shows_three_pictures_at_most(sources):
    text = (sources.root / "README.md").read_text(encoding="utf-8")
    assert 1 <= len(re.findall(r"^!\[", text, re.M)) <= 3


def test_every_picture_is_shown(sources):
    shown = "".join(path.read_text(encoding="utf-8") for path in documents(sources))
    pictures = sorted((sources.root / "docs" / "images").iterdir())
    assert pictures
    assert [one.name for one in pictures if f"images/{one.name})" not in shown] == []


def test_every_file_named_in_a_document_exists(sources):
    tops = {path.relative_to(sources.root).parts[0] for path in sources.paths}
    missing = []
    for path in documents(sources):
        for code in _CODE.findall(prose(path)):
            named = code.removeprefix("./").split("::")[0]
            if not _PATH.fullmatch(named) or named.split("/")[0] not in tops:
                continue
            if not any(sources.root.glob(named.rstrip("/"))):
                missing.append(f"{sources.name(path)}: {code}")
    assert not missing


PARSERS = {
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "json": json.loads,
    "python": ast.parse,
    "xml": lambda text: ElementTree.fromstring(f"<all>{text}</all>"),
}


def test_every_block_shown_is_of_its_language(sources):
    wrong = []
    scripts = []
    for path in documents(sources):
        for language, text in blocks(path.read_text(encoding="utf-8")):
            try:
                PARSERS.get(language, str)(text)
            except (yaml.YAMLError, ValueError, SyntaxError, ElementTree.ParseError) as error:
                wrong.append(f"{sources.name(path)}: {text.splitlines()[0]}: {error}")
            if language == "sh":
                scripts.append((sources.name(path), text))
    assert wrong == []
    assert len(scripts) > 50
    for name, text in scripts:
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_every_adr_is_listed_with_its_title(sources):
    folder = sources.root / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    assert records
    for record in records:
        title = record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        number, _, text = title.partition(". ")
        assert number == record.name[:4], f"{record.name}: the title must start with its number"
        assert f"]({record.name})" in index, f"{record.name} is not listed in docs/adr/README.md"
        assert text in index, f"docs/adr/README.md does not carry the title of {record.name}"


def test_adr_numbers_are_unique(sources):
    numbers = [path.name[:4] for path in (sources.root / "docs" / "adr").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"])
def test_the_root_has_what_a_visitor_looks_for(sources, name):
    assert (sources.root / name).is_file()
