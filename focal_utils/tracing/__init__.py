"""What a network computed on the way: traces, gates changed on purpose, and whether gate maps mean anything."""

from focal_utils.tracing.edits import (
    batched,
    edited_logits,
    everywhere,
    freeze_gates,
    gate_means,
    gate_names,
    shuffle,
    switch_off,
)
from focal_utils.tracing.film import GateFilm, Shot
from focal_utils.tracing.geometry import (
    MapGeometry,
    context_names,
    covered,
    inside_box,
    level_widths,
    map_geometry,
    overlap,
)
from focal_utils.tracing.probing import (
    contributions,
    input_gradient,
    mean_winner,
    modulator_energy,
    share_inside,
    winners,
)
from focal_utils.tracing.traces import (
    BlockTrace,
    FactorsTrace,
    impulse_response,
    impulse_width,
    intercepted,
    modulations,
    run_traced,
    trace,
)
