"""The gate explorer: a picture, the gates of a block beside it, and what changes when a level is switched off."""

from focal_utils.explorer.bundle import script, style
from focal_utils.explorer.network import network_bytes, runs_in_page
from focal_utils.explorer.still import page_text
from focal_utils.explorer.telling import telling_cells, telling_signs
from focal_utils.explorer.widget import GateExplorer
