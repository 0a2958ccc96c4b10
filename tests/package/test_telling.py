"""The pictures that ship with the explorer stand near a decision: a single switch can change the answer."""

from functools import partial

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.explorer.shown import describe_blocks, examine, single_switches
from focal_utils.explorer.telling import telling_cells, telling_signs

SHIPPED = {"gtsrb": telling_signs, "bloodcells": telling_cells}


@pytest.mark.parametrize("name", SHIPPED)
def test_for_half_of_the_pictures_some_single_switch_changes_the_answer(name):
    pictures = SHIPPED[name]()
    batch = np.stack(list(pictures.values()))
    model = fu.load_trained(name)
    shares, traces = examine(model, batch)
    blocks = describe_blocks(model, traces, *batch.shape[1:3])
    before = [int(np.argmax(share)) for share in shares]
    answers = single_switches(partial(examine, model), batch, blocks)
    changed = [
        picture
        for picture, label, answer in zip(pictures, before, answers, strict=True)
        if any(top[0][0] != label for top in answer.values())
    ]
    print(f"{name}: a single switch changes the answer for {len(changed)} of {len(pictures)}: {', '.join(changed)}")
    assert len(changed) >= len(pictures) / 2
    assert len(changed) < len(pictures)  # one is plain to see, and stays what it is
