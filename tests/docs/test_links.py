"""Links between the documents lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    lost = [
        link
        for link, path, anchor in _links(page)
        if not path.exists() or (anchor and anchor not in _anchors(path))
    ]
    assert lost == []


def test_every_page_can_be_reached_from_another_one() -> None:
    reached = {path.resolve() for page in _PAGES for _, path, _ in _links(page) if path != page}
    assert {page for page in _PAGES if page.name != "README.md"} <= reached


def _links(page: Path) -> Iterator[tuple[str, Path, str]]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            yield link, (page.parent / name if name else page), anchor


def _anchors(page: Path) -> set[str]:
    """Return what GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
