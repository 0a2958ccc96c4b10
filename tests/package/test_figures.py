"""The charts say what they are given: names in the legend, units at the axes, the reference where it belongs."""

import base64
import io
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from focal_utils import figures, files


def drawn(figure):
    """The figure's axes, after it has been drawn once without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    return figure.axes


def test_scaling_is_logarithmic_and_draws_its_guides():
    series = {"attention": ([10, 100], [1, 100]), "focal": ([10, 1000], [2, 200])}
    (ax,) = drawn(figures.scaling(series, "pixels", "MB", guides=(1, 2)))
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "log", "pixels", "MB")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["attention", "focal", "slope 1", "slope 2"]
    guide = next(line for line in ax.lines if line.get_label() == "slope 2")
    assert np.allclose(guide.get_ydata(), [1, 1e4]) and np.allclose(guide.get_xdata(), [10, 1000])


def test_seed_curves_show_mean_and_range():
    panels = {"signs": {"a": ([1, 2], [[0, 4], [2, 8]])}, "cells": {"b": ([1, 2, 3], [[1, 2, 3]])}}
    left, right = drawn(figures.seed_curves(panels, "images", "%"))
    assert (left.get_title(), right.get_title()) == ("signs", "cells")
    assert np.allclose(left.lines[0].get_ydata(), [1, 6])
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0 and band[:, 1].max() == 8


@pytest.mark.parametrize(("reference", "at"), [("the paper's", 90.5), (0, 0)])
def test_interval_rows_mark_the_reference(reference, at):
    rows = {"the paper's": ([90.0, 91.0], 90.5, 1.0), "other": ([80.0], 80.0, 2.0)}
    (ax,) = drawn(figures.interval_rows(rows, "%", reference=reference))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    assert any(np.allclose(line.get_xdata(), at) and len(line.get_xdata()) == 2 for line in ax.lines)
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row stands on top"


def test_results_are_read_or_what_there_is_is_listed(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text(json.dumps({"rows": [1]}))
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    assert files.load_results("a") == {"rows": [1]}
    with pytest.raises(FileNotFoundError, match="no results 'b'.*There are: a"):
        files.load_results("b")


def test_a_dark_picture_of_bytes_stays_dark():
    ax = figures.grid(1, 1)[1][0, 0]
    figures.picture(ax, np.full((2, 2, 3), 1, "uint8"))
    assert ax.images[0].get_array().max() == pytest.approx(1 / 255)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17])
def test_a_contact_sheet_has_a_place_for_each_picture(count):
    sheet = figures.show_images(np.zeros((count, 4, 4, 3)))
    assert sum(bool(ax.images) for ax in sheet.axes) == count and len(sheet.axes) - count < 8


def texts(figure):
    """What is written in a drawing: text → its colour."""
    (ax,) = drawn(figure)
    return {text.get_text(): text.get_color() for text in ax.texts}


def test_the_drawing_of_the_layer_names_every_part_and_symbol():
    written = texts(figures.layer_diagram())
    assert {"$X$", "$f$", "$q$", "$z^0$", "$z^{4}$", "$g_{4}$", "$h$", "$m$", "proj", "$y$", "mean"} <= {*written}
    assert [side for side in written if "×" in side] == ["3×3", "5×5", "7×7", "×"]
    assert {*figures.PARTS} <= {*written} and len({written[part] for part in figures.PARTS}) == 1


@pytest.mark.parametrize("part", [*figures.PARTS, ("gates", "aggregation")])
def test_a_part_of_the_drawing_stands_out(part):
    parts = (part,) if isinstance(part, str) else part
    written = texts(figures.layer_diagram(part, levels=1))
    assert {name for name in figures.PARTS if written[name] == figures.LINE} == {*parts}


def test_the_drawing_tells_the_numbers_of_a_pixel():
    random = np.random.default_rng(0)
    layer = fu.FocalModulation(8, focal_level=2)
    parts = layer.parts(random.normal(size=(2, 5, 6, 8)).astype("float32"))
    numbers = figures.pixel_numbers(parts, row=3, column=5, picture=1)
    channel = np.abs(numbers["product"]).argmax()
    total = sum(gate * context[channel] for gate, context in zip(numbers["gates"], numbers["contexts"], strict=True))
    assert total == pytest.approx(numbers["sum"][channel], rel=1e-5)
    written = texts(figures.layer_diagram(numbers=numbers))
    for value in (total, numbers["query"][channel], numbers["product"][channel], *numbers["gates"]):
        assert f"{value:.2f}".replace("-", "\N{MINUS SIGN}") in written


def test_a_drawing_of_what_is_not_there_is_refused_in_words():
    with pytest.raises(ValueError, match="part.*'gate'.*'gates'"):
        figures.layer_diagram("gate")
    with pytest.raises(ValueError, match="one focal level or more"):
        figures.layer_diagram(levels=0)


def test_levels_have_the_same_colours_in_figures_and_in_the_explorer():
    page = Path(figures.__file__).parent / "explorer" / "page" / "colours.js"
    found = re.findall(r'"(#[0-9a-f]{6})"', page.read_text("utf-8"))
    names = [*figures.level_names(5, 5), "global"]
    assert [figures.level_colour(name) for name in names] == found[:6]
    assert len(set(found[:6])) == 6


@pytest.fixture
def displayed(monkeypatch):
    """What is handed to IPython's `display`, a list of dicts."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    return shown


def test_a_figure_has_its_text_as_a_caption_and_twice_as_many_dots_as_the_page(displayed):
    figure = figures.grid(1, 2)[0]
    figures.show(figure, "Two empty <b> panels, side by side.")
    (bundle,) = displayed
    page = bundle["text/html"]
    assert bundle["text/plain"] == "Two empty <b> panels, side by side."
    assert page.count("Two empty &lt;b&gt; panels, side by side.") == 2 and page.count("<figcaption") == 1
    width = int(re.search(r'width="(\d+)"', page)[1])
    pixels = figures.png_width(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]))
    assert abs(pixels - 2 * width) <= 2


def test_a_figure_of_photographs_has_as_many_dots_and_is_small(displayed):
    figure, axes = figures.grid(1, 1, (5, 5))
    figures.picture(axes[0, 0], np.asarray(Image.open(files.data_folder() / "photos" / "astronaut.jpg")))
    figures.show(figure, "A photograph, which a PNG cannot make small.")
    page = displayed[0]["text/html"]
    kind, text = re.search(r"data:image/(\w+);base64,([^\"]+)", page).groups()
    data = base64.b64decode(text)
    plain = figures.png(figure, 180)
    assert kind == "webp" and len(plain) > figures.LARGEST and len(data) < 0.5 * len(plain)
    with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(plain)) as whole:
        assert image.size == whole.size
        assert abs(image.size[0] - 2 * int(re.search(r'width="(\d+)"', page)[1])) <= 2
        difference = np.asarray(image.convert("RGB"), float) - np.asarray(whole, float)
        assert np.abs(difference).mean() < 3


def test_a_table_is_one_and_its_text_stands_in_columns(displayed):
    figures.table(["network", "right"], [["focal", "9 < 10"], ["windows", 7.5]])
    (bundle,) = displayed
    assert bundle["text/plain"] == "network    right\nfocal     9 < 10\nwindows      7.5"
    assert bundle["text/html"].count("<tr>") == 3 and "9 &lt; 10" in bundle["text/html"]
    assert '<th scope="row" style="text-align:left">focal</th>' in bundle["text/html"]


def test_words_stand_on_the_left_and_numbers_on_the_right(displayed):
    rows = [["a", "+1.5 ± 0.2", "shown", "–"], ["b", "not compared", "not shown", "–"]]
    figures.table(["network", "points", "verdict", "note"], rows)
    sides = re.findall(r'<t[hd](?: scope="\w+")? style="text-align:(\w+)">', displayed[0]["text/html"])
    assert sides == 3 * ["left", "right", "left", "left"]


def test_a_table_without_rows_is_its_head(displayed):
    figures.table(["network", "right"], [])
    assert displayed[0]["text/html"].count("<tr>") == 1


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 cells, and there are 2 columns"):
        figures.table(["a", "b"], [["c", 1, 2]])


def test_a_mixer_has_one_colour_in_all_figures():
    styles = figures.mixer_styles(["self-attention", "focal modulation, L = 2", "focal modulation, L = 3", "other"])
    alone = figures.mixer_styles(["FocalNet", "Swin", "ViT", "windowed attention, 7×7", "fused self-attention"])
    assert styles["focal modulation, L = 2"]["color"] == alone["FocalNet"]["color"]
    assert styles["self-attention"]["color"] == alone["ViT"]["color"]
    assert alone["Swin"]["color"] == alone["windowed attention, 7×7"]["color"]
    assert len({style["color"] for style in alone.values()}) == 4
    two = styles["focal modulation, L = 2"]
    three = styles["focal modulation, L = 3"]
    assert two["color"] == three["color"] and two["linestyle"] != three["linestyle"]
    assert styles["other"]["color"] not in {kind[1] for kind in figures.MIXERS}


def test_guides_of_another_slope_look_otherwise_and_say_so():
    series = {"attention": ([10, 100], [1, 100])}
    (ax,) = drawn(figures.scaling(series, "pixels", "MB", guides=(1, 2)))
    lines = [line.get_linestyle() for line in ax.lines if "slope" in line.get_label()]
    assert len(set(lines)) == 2 or len({str(line._unscaled_dash_pattern) for line in ax.lines[1:]}) == 2
    assert [text.get_text() for text in ax.texts] == ["slope 1", "slope 2"]


def test_a_block_has_a_name_for_people():
    assert figures.block_title("stage1_block2") == "stage 1, block 2"
    assert figures.block_title("squared gradient") == "squared gradient"
