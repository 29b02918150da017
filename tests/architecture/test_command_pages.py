"""Help, man pages and docs/CLI.md: complete, current, and true about options that they show."""

import re
import shlex
import subprocess

import pytest

from docs import generate_cli
from stack.commands import manual

PAGES = list(generate_cli.pages())
LEAVES = [page for page in PAGES if not page.commands]


def names(pages):
    return [page.words for page in pages]


def test_documents_are_current():
    assert generate_cli.stale(generate_cli.documents()) == [], "run: python docs/generate_cli.py"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_a_page_says_what_a_person_needs(page):
    assert len(manual.summary(page.description)) <= 100
    assert page.examples
    for name, text in (*page.options, *page.arguments):
        meaning = re.sub(r"\[[^\]]*\]", "", text).strip()
        words = re.findall(r"\w+", meaning.lower())
        assert len(words) >= 3, (name, text)
        assert set(words) - set(re.findall(r"\w+", name.lower())), (name, text)


@pytest.mark.parametrize("page", LEAVES, ids=names(LEAVES))
def test_a_command_says_how_it_ends_and_what_it_heeds(page):
    assert {0, 1, 2} <= page.exits.keys()
    assert "NO_COLOR" in page.environment
    has_state = any(name.startswith("--state") for name, _ in page.options)
    assert ("VIRTSCALE_STATE" in page.environment) == has_state


def test_examples_use_options_that_exist():
    options = {
        page.words: {word for name, _ in page.options for word in re.findall(r"--?[\w-]+", name)}
        for page in PAGES
    }
    for page in PAGES:
        for example in page.examples:
            for part in re.split(r"\s(?:\||&&|>>?)\s", example):
                words = shlex.split(part)
                if words[0] != "virtscale":
                    continue
                command = max(
                    (known for known in options if f"{part} ".startswith(f"{known} ")), key=len
                )
                used = {word.split("=")[0] for word in words if word.startswith("--")}
                assert used <= options[command], (page.words, example)


def test_man_renders_without_a_warning():
    pages = sorted(generate_cli.MAN.glob("*.1"))
    assert len(pages) == len(PAGES)
    for page in pages:
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", page],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "", page
        assert "EXAMPLES" in done.stdout


def test_a_page_as_roff_is_safe_from_what_it_says():
    assert generate_cli._escaped(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert generate_cli._escaped("a\\b-c") == "a\\eb\\-c"
