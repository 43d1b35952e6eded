"""Elements of HTML and SVG; every text is escaped when the page is written."""

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

Element = ElementTree.Element
BEGINNING = "<!DOCTYPE html>\n"
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def element(tag: str, *children: Any, **attributes: Any) -> Element:
    """Returns an element.

    Args:
        tag: string.
        *children: elements, or what is written as text.
        **attributes: `class_` is `class`, `aria_label` is `aria-label`; `None` is left
            out.
    """
    names = {
        name.rstrip("_").replace("_", "-"): clean(value)
        for name, value in attributes.items()
        if value is not None
    }
    made = Element(tag, names)
    for child in children:
        _append(made, child)
    return made


def clean(value: Any) -> str:
    """Text without the characters that a page cannot hold."""
    return _NO_TEXT.sub("\ufffd", str(value))


def written(root: Element) -> str:
    """The page as text."""
    body = ElementTree.tostring(root, encoding="unicode", method="html")
    return BEGINNING + body + "\n"


def table(
    caption: Any, titles: list, rows: list[list], kind: str = "numbers", label: str = ""
) -> Element:
    """A table whose first column names the rows; it scrolls where it is too wide.

    Args:
        caption: string or element.
        titles: list of strings.
        rows: list of lists of strings or elements.
        kind: `"numbers"`, aligned to the right, `"texts"`, `"wrapping"` ones, or
            `"heat"`, numbers in colours.
        label: string, how it is read aloud; its caption by default.
    """
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    body = [
        element(
            "tr",
            element("th", first, scope="row"),
            *(x if _is_cell(x) else element("td", x) for x in others),
        )
        for first, *others in rows
    ]
    made = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
        class_=kind,
    )
    return scrolling(made, label or "".join(made[0].itertext()))


def scrolling(content: Element, label: str) -> Element:
    """A region that scrolls to the side, also by the keyboard."""
    return element(
        "div", content, class_="scrolling", role="group", tabindex=0, aria_label=label
    )


def _is_cell(x):
    return isinstance(x, Element) and x.tag == "td"


def _append(parent, child):
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + clean(child)
    else:
        parent.text = (parent.text or "") + clean(child)
