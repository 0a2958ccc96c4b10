"""What is said of the machine: versions within and outside of those that the series was tested with."""

import keras
import pytest

from focal_utils import machine


@pytest.mark.parametrize(
    ("found", "tested"),
    [
        ("2.20", True),
        ("2.20.0", True),
        ("2.21.9+cu130", True),
        ("2.21.0rc1", True),
        ("2.9.3", False),
        ("2.19.1", False),
        ("2.22", False),
        ("2.22.0rc1", False),
        ("3", False),
        ("0", False),
    ],
)
def test_versions(monkeypatch, capsys, found, tested):
    monkeypatch.setattr(machine, "TESTED", {"numpy": ("2.20", "2.22")})
    monkeypatch.setattr(machine, "version", lambda package: found)
    assert machine.check_environment() == (tested and keras.backend.backend() == "tensorflow")
    said = capsys.readouterr().out
    assert ("not tested: 2.20 or later, below 2.22, is" in said) != tested and found in said


def test_what_is_not_installed_is_not_tested(monkeypatch, capsys):
    monkeypatch.setattr(
        machine, "TESTED", {"a-package-that-is-not-there": ("1", "2"), keras.backend.backend(): ("1", "99")}
    )
    assert not machine.check_environment()
    assert "a-package-that-is-not-there 0 " in capsys.readouterr().out
