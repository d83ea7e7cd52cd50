"""Text as characters to predict."""

import numpy as np
import pytest

from tinygrad_rnn.text import characters, default_text, read_text


def test_default_text_is_real_and_stable():
    text = default_text()
    assert len(text) > 100_000
    assert text == default_text()
    assert "statement" in text


def test_each_step_reads_a_character_and_predicts_the_next():
    found = characters("abcab", steps=4)
    assert found.text == "abca"
    assert found.vocabulary == "abc"
    np.testing.assert_array_equal(found.xs.argmax(1), [0, 1, 2, 0])
    np.testing.assert_array_equal(found.xs.sum(1), 1)
    np.testing.assert_array_equal(found.labels, [1, 2, 0, 1])


def test_start_moves_the_window_but_not_the_vocabulary():
    found = characters("abcab", steps=2, start=2)
    assert (found.text, found.vocabulary) == ("ca", "abc")


@pytest.mark.parametrize(
    ("steps", "start", "message"),
    [
        (5, 0, r"5 steps from character 0 need 6 characters.*the text of 5 has 5"),
        (1, 9, r"1 steps from character 9 need 2 characters.*has 0"),
        (0, 0, "steps must be at least 1, got 0"),
        (-3, 0, "steps must be at least 1, got -3"),
        (1, -1, "start must be at least 0, got -1"),
    ],
)
def test_windows_that_do_not_fit(steps, start, message):
    with pytest.raises(ValueError, match=message):
        characters("abcab", steps, start)


def test_utf8_with_and_without_a_mark(tmp_path):
    for name, encoding in (("plain.txt", "utf-8"), ("marked.txt", "utf-8-sig")):
        (tmp_path / name).write_text("naïve ∂x 🙂", encoding=encoding)
        assert read_text(tmp_path / name) == "naïve ∂x 🙂"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"ab\xff\xfe", "not a text file in UTF-8 .byte 2 is 0xff"),
        (b"a\0b", "NUL at character 1"),
    ],
)
def test_files_that_are_not_text(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(tmp_path / "f")
