"""Graphviz, run by `engine` in a process of its own: `python -I child.py <site> <layout> <format>`.

Reads a JSON list of DOT texts from stdin and writes their renderings, one after the other, to stdout. It stands alone,
because an assertion in Graphviz's C code ends the process that it runs in: see `engine`.
"""

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Render what stdin holds; a Graphviz that refuses a text is an exit status of 1 and a line on stderr."""
    site, layout, output = sys.argv[1:4]
    # `-I` hides a user's site directory and PYTHONPATH, where pygraphviz may well be: the parent tells its place.
    sys.path.append(site)
    from pygraphviz import AGraph, DotError  # type: ignore[import-untyped]
    from pygraphviz import graphviz as gv

    context = gv.gvContextWithBuiltins()
    for text in json.load(sys.stdin.buffer):
        try:
            graph = AGraph(string=text)
        except DotError:
            sys.exit("this Graphviz can't read the DOT text")
        if gv.gvLayout(context, graph.handle, layout.encode()):
            sys.exit(f"this Graphviz can't do the layout {layout!r}")
        failed, data = gv.gvRenderData(context, graph.handle, output.encode())
        if failed:
            sys.exit(f"this Graphviz can't write the format {output!r}")
        sys.stdout.buffer.write(data)
        gv.gvFreeLayout(context, graph.handle)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
