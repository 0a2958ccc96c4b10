"""The gate explorer: a picture, the gates of a block over it, and what changes when a level is switched off."""

from focal_utils.explorer.widget import GateExplorer as GateExplorer
