"""The charts say what they are given: names in the legend, units at the axes, the reference where it belongs."""

import io
import json
import warnings

import numpy as np
import pytest

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


def test_interval_rows_mark_the_reference():
    rows = {"the paper's": ([90.0, 91.0], 90.5, 1.0), "other": ([80.0], 80.0, 2.0)}
    (ax,) = drawn(figures.interval_rows(rows, "%", reference="the paper's"))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    assert any(np.allclose(line.get_xdata(), 90.5) and len(line.get_xdata()) == 2 for line in ax.lines)
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
