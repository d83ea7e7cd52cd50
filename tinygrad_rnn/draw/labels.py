"""What a node says: names, operation signs, shapes and norms as text, how wide that text is, and how DOT quotes it.

Names come from users. They are shown as they are, character by character, and can't become markup, escapes, node ids
or links: `visible` takes away what no reader could see, `dot_text` and `dot_tooltip` what Graphviz would interpret.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from ..graph import GraphNode
from .heat import short_number

__all__ = [
    "details",
    "dot_text",
    "dot_tooltip",
    "headline",
    "numbers",
    "operand_name",
    "pretty",
    "text_width",
    "tooltip",
    "visible",
]

_SIGNS = {
    "abs": "|x|",
    "absolute": "|x|",
    "add": "+",
    "cross_entropy": "cross-entropy",
    "div": "÷",
    "divide": "÷",
    "matmul": "@",
    "mul": "×",
    "multiply": "×",
    "neg": "−",
    "negative": "−",
    "sigmoid": "σ",
    "sqrt": "√",
    "square": "x²",
    "sub": "−",
    "subtract": "−",
    "sum": "Σ",
    "true_divide": "÷",
}
_INFIX = ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "matmul")
_COMMUTES = ("add", "mul", "multiply")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NUMBERED = re.compile(r"(.*[^\W\d_])_?(?:_(\d+))", re.DOTALL)
_LONGEST, _LONGEST_HINT = 26, 300


def visible(text: str) -> str:
    """`text` with what can't be seen or written made visible: line breaks as ↵, other controls as �.

    Bidirectional overrides go too: they would reorder the rest of the label. Joiners stay, as emoji need them.
    """
    if text.isprintable():
        return text
    text = re.sub(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", "↵", text).replace("\t", " ")
    return "".join("�" if _unseen(c) else c for c in text)


def _unseen(character: str) -> bool:
    if character in "\u200c\u200d":
        return False
    if ord(character) & 0xFFFE == 0xFFFE:  # no characters, and forbidden in XML
        return True
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")


def pretty(name: str, longest: int = _LONGEST) -> str:
    """A name as a textbook writes it, cut if very long.

    >>> pretty("h_2"), pretty("W_hh"), pretty("L_100"), pretty("weight_ih_l0")
    ('h₂', 'W_hh', 'L₁₀₀', 'weight_ih_l0')
    """
    return _cut(", ".join(map(_with_subscript, visible(name).split(", "))), longest)


def _with_subscript(name: str) -> str:
    numbered = _NUMBERED.fullmatch(name)
    if numbered and numbered[2].isascii():
        return numbered[1] + numbered[2].translate(_SUBSCRIPTS)
    return name


def _cut(text: str, longest: int = _LONGEST_HINT) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def sign(op: str) -> str:
    """The sign of an operation, or its name: matmul is @, tanh is tanh."""
    return _SIGNS.get(op) or pretty(op).replace("_", "-")


def operand_name(node: GraphNode, nodes: Mapping[int, GraphNode]) -> str:
    """How an operation refers to a node that is drawn far away: its name, W_hhᵀ for a transposed one, else nothing."""
    if node.name is not None:
        return pretty(node.name)
    if node.op in ("transpose", "swapaxes") and len(node.shape) == 2 and node.parents:
        name = operand_name(nodes[node.parents[0]], nodes)
        return f"{name}ᵀ" if name else ""
    return ""


def headline(node: GraphNode, operands: Sequence[str | None] = ()) -> str:
    """The first line of a node: its name and its operation, with the operands that are drawn far away.

    `operands` has one entry per parent: a name, or None for a parent that a line leads to. They are written on the side
    on which they stand: `W_hh @` is matmul(W_hh, ·), and `@ W_hh` is matmul(·, W_hh).
    """
    name = pretty(node.name) if node.name is not None else ""
    if node.kind != "operation":
        return name or node.kind
    if not _has_value(node):
        return ": ".join(filter(None, (sign(node.op), name)))
    named = [text for text in operands if text]
    words = [sign(node.op), *named]
    if node.op in _INFIX and len(operands) == 2 and len(named) == 2:
        words = [named[0], sign(node.op), named[1]]
    elif node.op in _INFIX and len(operands) == 2 and operands[0] and node.op not in _COMMUTES:
        words = [operands[0], sign(node.op)]
    elif node.op == "inner" and len(operands) == 2 and len(named) == 1 and operands[1]:
        words = ["@", f"{named[0]}ᵀ"]  # x Wᵀ, of which a layer holds the W
    elif node.op == "getitem":
        words = [f"{named[0] if named else ''}[…]"]
    elif node.op == "transpose" and named:
        words = [f"{named[0]}ᵀ"]
    operation = " ".join(words)
    return f"{name} = {operation}" if name else operation


def _has_value(node: GraphNode) -> bool:
    """Whether there is an array: a compiled loop has none, its results are nodes of their own."""
    return node.op != "scan" or node.shape != (0,)


def details(node: GraphNode, *, shape: bool, norm: bool) -> str:
    """The second line of a node: its shape as NumPy writes it, and the norm of its gradient if there is one."""
    words = [str(tuple(node.shape))] if shape and _has_value(node) else []
    if norm and node.grad_norm is not None:
        words.append(f"∇ {short_number(node.grad_norm)}")
    return "  ".join(words)


def numbers(node: GraphNode, count: int = 3) -> str:
    """The first few numbers of a node's value, or nothing if it wasn't recorded."""
    if node.value is None:
        return ""
    shown = [short_number(number).replace("-", "−") for number in node.value[:count]]
    if not node.shape:
        return "= " + " ".join(shown)
    return "[" + " ".join(shown) + (" …]" if math.prod(node.shape) > count else "]")


def tooltip(node: GraphNode) -> str:
    """All that is known of a node, for a pointer that rests on it."""
    parts = [_cut(visible(node.name))] if node.name is not None else []
    parts += [
        _cut(visible(node.op)) if node.kind == "operation" else node.kind,
        *([f"shape {tuple(node.shape)}", visible(node.dtype)] if _has_value(node) else []),
    ]
    if str(node.scope):
        parts.append(_cut(visible(str(node.scope))))
    if node.value is not None:
        parts.append(f"value {numbers(node, len(node.value))}")
    if node.grad_norm is not None:
        parts.append(f"‖∂L/∂·‖ = {node.grad_norm:.4g}")
    return " · ".join(parts)


def text_width(text: str, size: float) -> float:
    """The width of `text` in points, in the widest of the usual fonts: a reader's sans-serif is not known here.

    Measuring here and not in Graphviz gives the same drawing on every machine, whatever fonts it has.
    """
    return size * sum(map(_advance, text))


# In ems: those of DejaVu Sans, rounded up. Helvetica, Arial and their kin are narrower.
_ADVANCES = {
    character: width
    for characters, width in (
        (" ',./:;\\|IJijl·", 0.35),
        ("()-[]ft₀₁₂₃₄₅₆₇₈₉²ᵀ", 0.41),
        ('!"*_`r', 0.5),
        ("?cszFLkvxy‖∂", 0.6),
        ("$0123456789EPSTYabdeghnopqu{}Σσ√", 0.65),
        ("ABCKRVXZ∇", 0.7),
        ("&DGHNOQU", 0.8),
        ("MW%@m", 1.03),
        ("#+<=>^w~−×÷≤↵→", 0.87),
    )
    for character in characters
}


def _advance(character: str) -> float:
    known = _ADVANCES.get(character)
    if known is not None:
        return known
    if unicodedata.combining(character) or character in "\u200c\u200d\ufe0e\ufe0f":
        return 0.0
    if unicodedata.category(character) == "So":  # emoji
        return 1.65
    return 1.25 if unicodedata.east_asian_width(character) in "WF" else 1.0


def dot_text(*lines: str) -> str:
    """Lines of plain text between the quotes of a DOT label, a break after each: no HTML, no escapes, no entities."""
    return r"\n".join(line.replace("&", "&amp;").replace("\\", r"\\").replace('"', r"\"") for line in lines)


def dot_tooltip(text: str) -> str:
    """Plain text as what stands between the quotes of a DOT tooltip.

    Graphviz unescapes tooltips a second time, entities and all: a backslash can't get through, so its twin ⧵ goes.
    """
    return text.replace("&", "&amp;").replace("\\", "⧵").replace('"', "&quot;")
