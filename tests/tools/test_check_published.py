"""The command that checks published weights finds them right, and finds them wrong."""

import numpy as np
import pytest
from PIL import Image

import check_published
import focal_utils as fu

SMALL = fu.focalnet("tiny_srf", embed_dim=4, depths=(1, 1))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The photograph and the weights are there: noise, and a small network's."""
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "coco_39769.jpg", format="png")
    monkeypatch.setattr(check_published.fu, "focalnet", lambda variant, weights: SMALL)
    monkeypatch.setattr("sys.argv", ["check_published.py", "tiny_srf"])
    return check_published.prepared(Image.fromarray(pixels))


def test_the_photograph_is_cropped_and_normalised(cached):
    assert cached.shape == (1, 224, 224, 3)
    white = check_published.prepared(Image.new("L", (300, 500), 255))
    assert np.allclose(white[0, 0, 0], (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], atol=1e-5)


@pytest.mark.parametrize("error", [0, 1e-3, np.nan])
def test_other_logits_are_found_out(error, cached, monkeypatch, capsys):
    logits = fu.predict(SMALL, cached)[0, :3]
    monkeypatch.setitem(check_published.KNOWN, "tiny_srf", logits + np.float32(error))
    assert check_published.main() == (error != 0)
    assert "tiny_srf" in capsys.readouterr().out


def test_an_unknown_variant_is_refused(cached, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["check_published.py", "large_fl3"])
    with pytest.raises(SystemExit):
        check_published.main()
    assert "no logits are known of large_fl3" in capsys.readouterr().err
