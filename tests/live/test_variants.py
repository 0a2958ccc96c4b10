"""Every variant against timm and transformers, live: their random weights through our loader, the same images.

Needs PyTorch, timm and transformers, which `make parity` installs; `make test` has frozen vectors of small networks
instead (tests/package/test_parity.py). Tiny, small and base are compared whole, the bigger ones with fewer blocks.
"""

# PyTorch's packages first: imported after TensorFlow, torchvision ends the process (PyTorch 2.13, TensorFlow 2.21).
import timm
import torch
import transformers  # isort: split

import keras
import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from check_published import prepared
from focal_utils.models import VARIANTS
from parts.frozen import randomise

WHOLE = ("tiny", "small", "base")
SIZE = 96  # pixels; the layers do not depend on it
LIMITS = {"float32": 1e-4, "float64": 1e-10}  # relative to the largest logit


def shortened(variant):
    """Depths and classes with which a variant is compared."""
    row = VARIANTS[variant]
    small = variant.startswith(WHOLE) and len(row.depths) > 1
    return (row.depths if small else (1, 1, 2, 1)[: len(row.depths)]), 1000 if small else 50


def from_timm(variant):
    depths, classes = shortened(variant)
    row = VARIANTS[variant]
    if depths == row.depths:
        return timm.create_model(f"focalnet_{variant}", pretrained=False, num_classes=classes)
    return timm.models.focalnet.FocalNet(
        num_classes=classes,
        embed_dim=row.embed_dim,
        depths=depths,
        focal_levels=(row.focal_levels,) * len(depths),
        focal_windows=(row.focal_windows,) * len(depths),
        use_overlap_down=row.use_conv_embed,
        use_post_norm=row.use_postln,
        use_post_norm_in_modulation=row.use_postln_in_modulation,
        layerscale_value=row.layer_scale,
    )


def from_transformers(variant):
    depths, classes = shortened(variant)
    row = VARIANTS[variant]
    stages = len(depths)
    config = transformers.FocalNetConfig(
        image_size=SIZE,
        patch_size=row.patch_size,
        embed_dim=row.embed_dim,
        use_conv_embed=row.use_conv_embed,
        hidden_sizes=[row.embed_dim * 2**stage for stage in range(stages)],
        depths=list(depths),
        focal_levels=[row.focal_levels] * stages,
        focal_windows=[row.focal_windows] * stages,
        use_layerscale=row.layer_scale is not None,
        layerscale_value=row.layer_scale or 1e-4,
        use_post_layernorm=row.use_postln,
        use_post_layernorm_in_modulation=row.use_postln_in_modulation,
        num_labels=classes,
    )
    return transformers.FocalNetForImageClassification(config)


def timm_outputs(network, images):
    """Logits, and the map that each stage ends with, channels last."""
    x = network.stem(images)
    maps = []
    for stage in network.layers:
        x = stage(x)
        maps.append(x.permute(0, 2, 3, 1))
    return network.forward_head(network.norm(x)), maps


def transformers_outputs(network, images):
    seen = []
    hooks = [
        stage.layers[-1].register_forward_hook(lambda _, __, output: seen.append(output))
        for stage in network.focalnet.encoder.stages
    ]
    logits = network(images).logits
    for hook in hooks:
        hook.remove()
    return logits, seen  # maps are (B, H·W, C)


PEERS = {"timm": (from_timm, timm_outputs), "transformers": (from_transformers, transformers_outputs)}
CASES = [
    (variant, peer) for variant in VARIANTS for peer in PEERS if not (peer == "timm" and "iso" in variant)
]  # timm's stem has patches of 4 pixels only


@pytest.mark.parametrize(("variant", "peer"), CASES)
def test_logits_and_feature_maps(variant, peer, tmp_path, record_property):
    from safetensors.torch import save_file

    build, outputs = PEERS[peer]
    depths, classes = shortened(variant)
    images = np.random.default_rng(0).normal(size=(1, SIZE, SIZE, 3))
    network = randomise(build(variant), seed=0)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "w.safetensors")
    for dtype, limit in LIMITS.items():
        network = network.to(getattr(torch, dtype))
        with torch.no_grad():
            theirs = torch.from_numpy(images.astype(dtype)).permute(0, 3, 1, 2)
            logits, maps = outputs(network, theirs)
        model = fu.focalnet(
            variant, (SIZE, SIZE, 3), classes, depths=depths, dtype=dtype, pad_to_stride=peer == "transformers"
        )
        report = fu.load_checkpoint(model, tmp_path / "w.safetensors")
        assert report.tensors == len(network.state_dict()) and report.family == peer
        ours = keras.ops.convert_to_numpy(keras.ops.stop_gradient(model(images.astype(dtype))))
        difference = np.abs(ours - logits.numpy()).max() / np.abs(logits.numpy()).max()
        record_property(dtype, float(difference))
        print(f"{variant} {peer} {dtype}: {difference:.1e}")
        assert difference <= limit
        for mine, yours in zip(fu.feature_maps(model)(images.astype(dtype)), maps, strict=True):
            mine = keras.ops.convert_to_numpy(keras.ops.stop_gradient(mine))
            yours = yours.numpy().reshape(mine.shape)
            assert np.abs(mine - yours).max() <= limit * np.abs(yours).max()


@pytest.mark.parametrize(("variant", "peer"), CASES)
def test_names_and_shapes_go_back_exactly(variant, peer):
    network = PEERS[peer][0](variant)
    depths, classes = shortened(variant)
    model = fu.focalnet(variant, (SIZE, SIZE, 3), classes, depths=depths)
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    fu.load_checkpoint(model, tensors)
    back = fu.peer_weights(model, peer)
    assert {name: value.shape for name, value in back.items()} == {name: value.shape for name, value in tensors.items()}
    assert all(np.array_equal(back[name], value) for name, value in tensors.items())
    network.load_state_dict({name: torch.from_numpy(value) for name, value in back.items()})


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if "iso" not in variant])
def test_parameter_counts_of_whole_variants(variant):
    with torch.device("meta"):
        network = timm.create_model(f"focalnet_{variant}", pretrained=False, num_classes=1000)
    assert fu.count_parameters(variant) == sum(value.numel() for value in network.parameters())


def test_a_photograph_is_prepared_as_by_transformers():
    processing = pytest.importorskip("transformers.models.bit.image_processing_pil_bit")
    sides = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 2}
    norm = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype="uint8")
    theirs = processing.BitImageProcessorPil(**sides, **norm)(Image.fromarray(pixels), return_tensors="np")
    ours = prepared(Image.fromarray(pixels))[0]
    assert np.abs(ours - theirs["pixel_values"][0].transpose(1, 2, 0)).max() < 1e-6
