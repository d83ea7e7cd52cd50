"""Graphviz's SVG made fit for readers of all kinds: a title and a description, and nothing of the program's own."""

import html
import re
import zlib

from .labels import visible

__all__ = ["finished_svg"]

_HEAD = re.compile(r"<svg ([^>]*)>\n")


def finished_svg(svg: bytes, *, title: str, description: str) -> str:
    """The SVG text with what a screen reader says of it, without comments and a link to a DTD.

    The ids of title and description depend on all of the drawing, as several may stand on one page.
    """
    text = re.sub(r"<!DOCTYPE[^>]*>\n|<!--.*?-->\n", "", svg.decode(), flags=re.DOTALL)
    text = re.sub(r"(<g id=\"graph0\"[^>]*>)\n<title>[^<]*</title>", r"\1", text, count=1)
    mark = f"{zlib.crc32(text.encode()):08x}"
    said = (
        f'<title id="title{mark}">{html.escape(visible(title))}</title>\n'
        f'<desc id="desc{mark}">{html.escape(visible(description))}</desc>\n'
    )
    labelled = f'role="img" aria-labelledby="title{mark} desc{mark}"'
    return _HEAD.sub(lambda head: f"<svg {labelled} {head[1]}>\n{said}", text, count=1)
