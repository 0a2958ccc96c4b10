"""The face of the package: its public names, imported when they are first asked for, and what they need."""

import ast
import json
import os
import subprocess
import sys
import tomllib

import pytest

import focal_utils as fu
from parts.files import ROOT

# Public since the first release: others rely on them.
KEPT = """
DamagedData DataNotFound DropPath FocalBlock FocalModulation FocalNet FocalParts GTSRB_CLASSES GateExplorer
GatedAggregation HierarchicalContext ImageSet LayerScale LoadReport Measurement Mlp PatchEmbed SelfAttention
VARIANTS WindowedAttention accuracy article augment check check_environment count_macs count_parameters data_folder
decode_predictions export_model feature_maps figures focalnet freeze gelu impulse_response impulse_width layer_costs
load_blood_cells load_checkpoint load_gtsrb load_medmnist load_photos load_trained load_weights measure peer_weights
predict preprocess_input render_sign render_signs show statistics trace train training
"""

# What `pip install .` leaves to the extra "course".
COURSE = ("matplotlib", "PIL", "scipy", "psutil", "safetensors", "ipywidgets", "anywidget")
BARE = f"""
import json, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {COURSE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])

sys.meta_path.insert(0, Hidden())
import focal_utils as fu
"""


def bare(script, **options):
    """A process in which what the extra "course" brings cannot be imported."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BARE + script], capture_output=True, text=True, env=environment, timeout=300, **options
    )


def test_every_public_name_is_there():
    missing = [name for name in fu.__all__ if not hasattr(fu, name)]
    assert missing == []
    assert set(KEPT.split()) <= set(fu.__all__)


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match="no 'FocalModulatio'"):
        fu.FocalModulatio  # noqa: B018


def test_the_layers_need_only_what_pip_install_brings(tmp_path):
    script = """
import keras
model = fu.FocalNet((32, 32, 3), 5, embed_dim=8, depths=(1, 1))
model.save("model.keras")
keras.models.load_model("model.keras")
fu.export_model, fu.load_checkpoint, fu.feature_maps  # each is imported
print("fine")
"""
    done = bare(script, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


@pytest.mark.parametrize("name, package", [("figures", "matplotlib"), ("statistics", "scipy"), ("measure", "psutil")])
def test_a_package_that_is_missing_is_named_with_what_to_do(name, package):
    done = bare(f"fu.{name}")
    assert done.returncode != 0
    assert f"fu.{name} needs the package '{package}'" in done.stderr
    assert f"pip install {package}" in done.stderr


def test_requirements_hold_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["course"]
    required = (ROOT / "requirements.txt").read_text()
    for requirement in asked:
        package = requirement.split(">=")[0]
        assert f"\n{package}>=" in "\n" + required, package


def test_what_is_imported_at_once_is_little():
    """`import focal_utils` brings the layers and networks, not figures, data, training, tracing or the explorer."""
    script = (
        "import sys, json, focal_utils; print(json.dumps([n for n in sys.modules if n.startswith('focal_utils.')]))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300)
    subjects = {name.split(".")[1] for name in json.loads(done.stdout)}
    assert subjects <= {"errors", "machine", "files", "layers", "models", "weights"}


def test_the_notebooks_import_nothing_past_the_face():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] != "code":
                continue
            lines = [line for line in "".join(cell["source"]).splitlines() if not line.lstrip().startswith(("!", "%"))]
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("focal_utils"):
                    assert node.module == "focal_utils", f"{path.name}: from {node.module}"
                    assert {alias.name for alias in node.names} <= set(fu.__all__), path.name
                if isinstance(node, ast.Import):
                    assert not any(alias.name.startswith("focal_utils.") for alias in node.names), path.name
