"""The code in README and docs/ runs, and prints what it says."""

import contextlib
import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def test_readme_example_prints_the_numbers_in_its_comments(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    monkeypatch.chdir(tmp_path)  # it saves a picture
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    promised = re.findall(r"^print\(.*?\)\s+# (.*)$", code, re.M)
    assert len(promised) == code.count("print(") == 2
    numbers = re.compile(r"-?\d+\.\d+")
    got = np.array(numbers.findall(printed.getvalue()), float)
    want = np.array(numbers.findall(" ".join(promised)), float)
    np.testing.assert_allclose(got, want, rtol=1e-7)  # as many digits as NumPy prints
    assert (tmp_path / "rnn.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_docs_run_as_doctests(page):
    failed, tried = doctest.testfile(
        str(ROOT / page),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
        encoding="utf-8",
    )
    assert failed == 0
    assert tried > 0 or page in ("docs/design.md", "docs/gallery.md")


def test_contributing_example_is_the_code():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    rule = re.search(r"lambda ct, out: .*?(?=\])", example).group()
    assert rule in (ROOT / "tinygrad_rnn/ops/elementwise.py").read_text()


def test_links_between_pages_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_pages_name_exist():
    for page in ("README.md", "CONTRIBUTING.md", "docs/design.md"):
        text = (ROOT / page).read_text()
        for name in re.findall(r"`((?:tinygrad_rnn|tests|examples|benchmarks|docs)/[\w./]+)`", text):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_readme_counts_the_slides_right():
    from tinygrad_rnn.bptt import SLIDES

    wrong = sum(not row.consistent for row in SLIDES)
    assert f"{wrong} of its {len(SLIDES)} printed numbers" in (ROOT / "README.md").read_text()


def test_import_is_silent_and_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import tinygrad_rnn; assert 'pydoc_data.topics' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
