"""Sliders over a figure: it follows them, and a page without widgets has a still of it."""

import pytest

from focal_utils import figures
from focal_utils.exercises import dial
from focal_utils.exercises.guessing import VIEW


def drawing(width, doubled, kind):
    cells = width * (2 if doubled else 1)
    return figures.grid(1, cells)[0], f"{cells} empty panels of kind {kind}."


@pytest.fixture
def bundles(monkeypatch):
    shown = []
    monkeypatch.setattr("focal_utils.exercises.dials.shown", shown.append)
    return shown


def made():
    return dial(drawing, width=(1, 4, 1, 2), doubled=False, kind=["a", "b"])


def test_the_still_is_the_figure_at_the_start(bundles):
    made()
    (bundle,) = bundles
    assert bundle["text/plain"] == "2 empty panels of kind a."
    assert bundle["text/html"].count("<img") == 1 and "2 empty panels of kind a." in bundle["text/html"]
    assert VIEW in bundle


def test_the_figure_follows_a_control(bundles):
    one = made()
    before = one.page.value
    one.boxes["width"].value = 3
    assert "3 empty panels of kind a." in one.page.value and one.page.value != before
    one.boxes["doubled"].value = True
    one.boxes["kind"].value = "b"
    assert "6 empty panels of kind b." in one.page.value
    assert one.values == {"width": 3, "doubled": True, "kind": "b"}


def test_code_moves_it_too(bundles):
    one = made()
    one.set(width=1)
    assert "1 empty panels" in one.page.value
    with pytest.raises(ValueError, match="control.*'height'"):
        one.set(height=1)


def test_a_dial_without_a_control_is_refused():
    with pytest.raises(ValueError, match="has no control"):
        dial(drawing)
