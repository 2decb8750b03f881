"""A figure as SVG inside a page: its own ids, the page's colours and font."""

import io
import re

import matplotlib

from plots import style


def with_ids(text, prefix):
    """Ids that no other figure of the page has."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'\bxlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)


def with_colours(text):
    """Every named colour as a variable of the page's style sheet."""
    return re.sub("|".join(style.NAMED),
                  lambda match: f"var(--{style.NAMED[match.group(0)]})", text)


def inline(figure, name, title):
    """<svg> with text as text, without size: as wide as its place."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        style.save(figure, file, format="svg", transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]+)"', text).group(1)
    text = re.sub(
        r"<svg[^>]*>", '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{title}" viewBox="{box}">', text, count=1)
    text = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\n\s*", "\n", text)
    return with_colours(with_ids(text, name)).strip()
