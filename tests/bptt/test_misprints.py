from pathlib import Path

import pytest

from tinygrad_rnn.bptt import MISPRINTS, Activation, Misprint

from .problems import ACTIVATIONS


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("misprint", MISPRINTS, ids=lambda m: f"{m.item} {m.equation}")
def test_printed_and_right(misprint: Misprint, activation: Activation) -> None:
    off = misprint.measure(activation)
    assert off.right < 1e-14
    if activation in misprint.holds_for:
        assert off.printed < 1e-14
    else:
        assert off.printed > 1e-3


def test_the_suspects_all_have_a_row() -> None:
    assert {misprint.item for misprint in MISPRINTS} >= {"D3", "D4", "D6", "D7", "D8"}


def test_the_page_has_the_same_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "bptt.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| D")]
    assert rows == [
        f"| {m.item} | {m.document}, {m.equation} | `{m.printed}` | `{m.right}` | {m.why} |" for m in MISPRINTS
    ]
