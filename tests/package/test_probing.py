"""Probing: edits change the gates they name and no others; statistics and geometry agree with cases known by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import focal_utils as fu
import measure_gates
from focal_utils import tracing
from focal_utils.tracing import map_geometry, run_traced


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    network = fu.FocalNet((16, 16, 3), 5, embed_dim=8, depths=(1, 2), focal_levels=(2, 1), patch_size=2,
                          use_conv_embed=True, preprocessing="per_image")  # fmt: skip
    rng = np.random.default_rng(3)  # trained gates are neither small nor unbiased
    for weight in network.trainable_variables:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.2, weight.shape))
    return network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).integers(0, 256, (6, 16, 16, 3)).astype("uint8")


FIRST = "stage0_block0"
SECOND = "stage1_block0"


def by_name(traces):
    return {trace.name: trace for trace in traces}


# Edits


def test_gates_have_names(model):
    assert tracing.gate_names(model) == {
        FIRST: ["level 1", "level 2", "global"], SECOND: ["level 1", "global"], "stage1_block1": ["level 1", "global"]
    }  # fmt: skip
    assert tracing.everywhere(model)[FIRST] == [0, 1, 2]


def test_a_network_without_a_global_context_has_no_global_gate():
    network = fu.FocalNet((8, 8, 3), 2, embed_dim=4, depths=(1,), patch_size=2, global_context=False)
    assert tracing.gate_names(network) == {FIRST: ["level 1", "level 2"]}


def test_a_level_switched_off_is_a_context_of_zero(model, images):
    """A last focal level with a kernel of zeros has the context gelu(0) = 0, and so has the global one, its mean."""
    switched = tracing.edited_logits(model, images, tracing.switch_off(model, {FIRST: [1, 2]}))
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    kernel = twin.get_layer(FIRST).modulation.contextualize.convs[1].kernel
    kernel.assign(np.zeros(kernel.shape))
    assert np.allclose(switched, fu.predict(twin, images), atol=1e-5)
    assert not np.allclose(switched, fu.predict(model, images), atol=1e-4)


def test_an_edit_leaves_all_other_gates_alone(model, images):
    before = by_name(run_traced(model, images)[1])
    after = by_name(run_traced(model, images, tracing.switch_off(model, {FIRST: [1]}))[1])
    assert np.all(after[FIRST].gates[..., 1] == 0)
    assert np.allclose(after[FIRST].gates[..., [0, 2]], before[FIRST].gates[..., [0, 2]], atol=1e-6)
    assert np.all(after[SECOND].gates != 0)


def test_nothing_is_left_behind(model, images):
    before = fu.predict(model, images)
    tracing.edited_logits(model, images, tracing.switch_off(model, tracing.everywhere(model)))
    assert np.array_equal(fu.predict(model, images), before)
    assert np.allclose(tracing.edited_logits(model, images), before, atol=1e-6)


def test_logits_are_those_of_a_traced_run_and_do_not_depend_on_batches(model, images):
    edit = tracing.switch_off(model, {SECOND: [1]})
    whole = run_traced(model, images, edit)[0]
    assert np.allclose(tracing.edited_logits(model, images, edit, batch_size=4), whole, atol=1e-5)


def test_gate_means_are_means_over_images_and_pixels(model, images):
    means = tracing.gate_means(model, images, batch_size=4)  # an uneven last batch
    for trace in run_traced(model, images)[1]:
        assert np.allclose(means[trace.name], trace.gates.mean(axis=(0, 1, 2)), atol=1e-5)


def test_freezing_a_gate_that_is_constant_changes_nothing(model, images):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for name in (FIRST, SECOND, "stage1_block1"):
        f = twin.get_layer(name).modulation.f
        kernel = np.asarray(f.kernel).copy()
        kernel[:, 2 * f.kernel.shape[0] :] = 0  # gates are the bias alone
        f.kernel.assign(kernel)
    edit = tracing.freeze_gates(twin, tracing.everywhere(twin), tracing.gate_means(twin, images))
    assert np.allclose(tracing.edited_logits(twin, images, edit), fu.predict(twin, images), atol=1e-4)
    edit = tracing.freeze_gates(model, tracing.everywhere(model), tracing.gate_means(model, images))
    assert not np.allclose(tracing.edited_logits(model, images, edit), fu.predict(model, images), atol=1e-4)


def test_frozen_gates_are_the_given_numbers(model, images):
    means = {FIRST: np.array([1.0, -2.0, 3.0])}
    after = by_name(run_traced(model, images, tracing.freeze_gates(model, {FIRST: [0, 2]}, means))[1])
    assert np.all(after[FIRST].gates[..., 0] == 1) and np.all(after[FIRST].gates[..., 2] == 3)
    assert not np.any(after[FIRST].gates[..., 1] == -2)


def test_shuffling_keeps_each_pictures_gates_and_moves_them(model, images):
    before = by_name(run_traced(model, images)[1])[FIRST].gates
    after = by_name(run_traced(model, images, tracing.shuffle(model, {FIRST: [0, 1, 2]}))[1])[FIRST].gates
    for old, new in zip(before.reshape(6, -1, 3), after.reshape(6, -1, 3), strict=True):
        assert np.allclose(sorted(map(tuple, old)), sorted(map(tuple, new)), atol=1e-6)  # whole pixels
    assert np.mean(np.isclose(before, after)) < 0.2
    orders = [np.argsort(np.argsort(picture[..., 0].ravel())) for picture in after]
    assert not np.array_equal(orders[0], orders[1])


def test_shuffling_repeats_with_its_seed(model, images):
    first, again, other = (
        tracing.edited_logits(model, images, tracing.shuffle(model, {FIRST: [0]}, seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again) and not np.allclose(first, other)


@pytest.mark.parametrize(
    ("where", "message"), [({"block9": [0]}, "no focal block 'block9'"), ({FIRST: [3]}, "gates 0 to 2"),
                           ({FIRST: [-1]}, "gates 0 to 2"), ({FIRST: ["global"]}, "gates 0 to 2")]
)  # fmt: skip
def test_what_is_not_there_cannot_be_edited(model, where, message):
    for make in (tracing.switch_off, tracing.shuffle, lambda m, w: tracing.freeze_gates(m, w, {})):
        with pytest.raises(ValueError, match=message):
            make(model, where)


def test_means_of_another_network_are_refused(model):
    for means in ({}, {FIRST: np.zeros(2)}):
        with pytest.raises(ValueError, match="needs 3 means"):
            tracing.freeze_gates(model, {FIRST: [0]}, means)


# Levels and size


def test_contributions_are_the_lengths_of_the_products(model, images):
    trace = run_traced(model, images)[1][0]
    amounts = tracing.contributions(trace)
    for level, context in enumerate(trace.contexts):
        product = trace.gates[..., level : level + 1] * context
        assert np.allclose(amounts[..., level], np.linalg.norm(product, axis=-1), rtol=1e-4)


def test_winners_reads_only_what_the_mask_covers(model, images):
    trace = run_traced(model, images)[1][0]
    masks = np.zeros((6, 16, 16), bool)
    masks[:, 5, 7] = True  # half a pixel each in map rows 2 and 3, and in columns 3 and 4: stride 2, from −0.5
    weights = tracing.covered(masks, map_geometry(model)[FIRST], trace.gates.shape[1:3])
    found = tracing.winners(model, images, masks, batch_size=4)[FIRST]
    assert np.allclose(found, tracing.mean_winner(tracing.contributions(trace), weights))
    assert weights.astype(bool).sum() == 6 * 4
    with pytest.raises(ValueError, match="5 masks for 6 images"):
        tracing.winners(model, images, masks[:5], batch_size=4)


# Intervals


# Energy and boxes


def test_a_mask_and_a_box_of_whole_pixels_agree(model):
    masks = np.zeros((1, 16, 16), bool)
    masks[0, 3:9, 5:14] = True
    for geometry in map_geometry(model).values():
        shape = (16 // geometry.stride,) * 2
        assert np.allclose(
            tracing.covered(masks, geometry, shape), tracing.inside_box([[5, 3, 14, 9]], geometry, shape)
        )


def test_modulator_energy_is_the_squared_length(model, images):
    energy = tracing.modulator_energy(model, images, batch_size=4)
    for trace in run_traced(model, images)[1]:
        assert np.allclose(energy[trace.name], np.linalg.norm(trace.modulator, axis=-1) ** 2, rtol=1e-3)


def test_the_input_gradient_is_what_finite_differences_say(model, images):
    x = images[:2].astype("float32")
    labels = np.array([1, 4])
    gradient = tracing.input_gradient(model, x, labels)
    assert gradient.shape == x.shape
    direction = np.sign(gradient)
    step = 0.25

    def chosen(moved):
        return fu.predict(model, moved)[np.arange(2), labels]

    slope = (chosen(x + step * direction) - chosen(x - step * direction)) / (2 * step)
    assert np.allclose(slope, np.abs(gradient).sum(axis=(1, 2, 3)), rtol=0.05)


@pytest.mark.parametrize("labels", [[0], [0, 5], [-1, 0], [[0, 1]]])
def test_labels_that_do_not_fit_are_refused(model, images, labels):
    with pytest.raises(ValueError, match="One label from 0 to 4"):
        tracing.input_gradient(model, images[:2], labels)


# Rendered signs


@pytest.mark.parametrize(("label", "share"), [(14, 0.83), (13, 0.45), (17, np.pi / 4)])
def test_a_silhouette_covers_the_sign_and_nothing_far_from_it(label, share):
    """`share` of its square that an octagon, a triangle, a disc covers."""
    for seed in range(3):
        mask = fu.silhouette(label, 64, 0.5, seed)
        assert mask.mean() == pytest.approx(share / 4, rel=0.35)
        rows, columns = np.nonzero(mask)
        assert max(np.ptp(rows), np.ptp(columns)) < 64 * 0.5 * 1.25
        assert abs(columns.mean() - 31.5) < 64 * 0.06 and abs(rows.mean() - 31.5) < 64 * 0.14  # a triangle's lies off


def test_a_sign_is_put_where_it_was_asked_for():
    image, mask = fu.sign_at(17, (0.3, 0.7), 64, 0.4)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8 and mask.shape == (64, 64)
    rows, columns = np.nonzero(mask)
    assert abs(columns.mean() + 0.5 - 0.3 * 64) < 7 and abs(rows.mean() + 0.5 - 0.7 * 64) < 7  # shifted by its pose
    red = image[..., 0].astype(float) - image[..., 1]  # "no entry" is a red disc
    assert red[mask].mean() > red[~mask].mean() + 10
    with pytest.raises(ValueError, match="shares of the side"):
        fu.sign_at(17, (0.3, 20))


# The tool


def test_the_tool_tries_every_gate_alone_and_all_together(model, images):
    means = tracing.gate_means(model, images)
    tried = [row[:3] for row in measure_gates.edits(model, means)]
    assert len(set(tried)) == len(tried)
    for block, gates in tracing.gate_names(model).items():
        assert {(what, block, gate) for what in ("off", "frozen") for gate in gates} <= set(tried)
    assert {(what, "all", "all") for what in ("off", "frozen", "shuffled")} <= set(tried)


def test_the_tool_switches_off_a_level_wherever_it_is(model, images):
    means = tracing.gate_means(model, images)
    edit = next(row[3] for row in measure_gates.edits(model, means) if row[:3] == ("off", "all", "global"))
    for trace in run_traced(model, images, edit)[1]:
        assert np.all(trace.gates[..., -1] == 0) and np.all(trace.gates[..., :-1] != 0)


def test_the_tool_scales_the_boxes_with_the_picture():
    data = SimpleNamespace(roi_test=np.array([[6, 5, 48, 49]] * 2), size_test=np.array([[64, 96]] * 2))
    assert np.allclose(measure_gates.photograph_boxes(data, 1, 32), [[3, 5 / 3, 24, 49 / 3]])


def test_the_tool_compares_maps_with_a_flat_one(model, images):
    boxes = np.tile([0, 0, 16, 8], (6, 1))
    for name, (ratio, fixed, most, chance) in measure_gates.ratios(model, images, boxes).items():
        assert ratio.shape == fixed.shape == most.shape == chance.shape == (6,)
        assert np.all((ratio > 0) & (ratio <= most)) and np.all(fixed <= most), name
    everywhere = measure_gates.ratios(model, images, np.tile([-8, -8, 24, 24], (6, 1)))
    assert all(np.allclose(ratio, 1) for ratio, *_ in everywhere.values())


@pytest.mark.parametrize(
    ("options", "names", "widths"),
    [
        ({}, ["level 1", "level 2", "global"], [3, 7]),
        ({"context": "parallel"}, ["level 1", "level 2", "global"], [3, 5]),
        ({"context": "top"}, ["last level"], [7]),
        ({"global_context": False}, ["level 1", "level 2"], [3, 7]),
    ],
)
def test_each_kind_of_context_has_a_name_for_each_gate(options, names, widths):
    network = fu.FocalNet((8, 8, 3), 2, embed_dim=4, depths=(1,), patch_size=2, **options)
    (block,) = tracing.modulations(network)
    assert tracing.gate_names(network) == {FIRST: names}
    assert fu.trace(network, np.ones((1, 8, 8, 3)))[0].gates.shape[-1] == len(names)
    assert tracing.level_widths(block.contextualize) == widths


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda model, images: tracing.switch_off(model, {FIRST: 1}), r"One gate: \[1\]"),
        (lambda model, images: tracing.gate_means(model, images[:0]), "no images"),
        (lambda model, images: tracing.gate_means(model, images, batch_size=-1), "batch_size=-1"),
        (lambda model, images: tracing.edited_logits(model, images, batch_size=0), "batch_size=0"),
        (lambda model, images: tracing.winners(model, images, np.zeros((6, 16, 16), bool)), "is its mask empty"),
        (lambda model, images: tracing.winners(model, images, np.ones((6, 16), bool)), r"\(B, H, W\) is needed"),
        (lambda model, images: tracing.input_gradient(model, images, np.eye(6)), "One label from 0 to 4"),
        (lambda model, images: tracing.input_gradient(model, images, np.zeros(6)), "One label from 0 to 4"),
        (lambda model, images: tracing.input_gradient(fu.feature_maps(model), images, [0] * 6), "One output of logits"),
        (lambda model, images: tracing.inside_box([[0, 0, np.nan, 4]], (1, 0), (4, 4)), "x1 < x2"),
        (lambda model, images: tracing.inside_box([0, 0, 4, 4], (1, 0), (4, 4)), r"\(B, 4\) is needed"),
        (lambda model, images: tracing.share_inside(np.full((1, 2, 2), np.nan), np.ones((1, 2, 2))), "must be finite"),
        (lambda model, images: tracing.freeze_gates(model, {FIRST: [0]}, {FIRST: [np.nan] * 3}), "not all finite"),
    ],
)
def test_what_would_give_nonsense_is_refused_in_words(model, images, call, reason):
    with pytest.raises(ValueError, match=reason):
        call(model, images)


def test_a_place_is_a_dict(model):
    with pytest.raises(TypeError, match="everywhere.model."):
        tracing.switch_off(model, [FIRST])


def test_the_gradient_of_a_subclassed_model():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = fu.FocalBlock(3)
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(keras.ops.mean(self.block(x), axis=(1, 2)))

    gradient = tracing.input_gradient(Subclassed(), np.ones((2, 8, 8, 3), "uint8"), np.array([0, 1], "uint8"))
    assert gradient.shape == (2, 8, 8, 3) and np.isfinite(gradient).all() and gradient.any()
