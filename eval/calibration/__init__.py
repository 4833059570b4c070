"""Calibration: from a model and questions with gold to a profile that corrects questions it has never seen.

`observations` runs every way of answering once, `sites` sweeps the layer pairs, `mid_layer` fits what must be fitted;
`choosing` and `confidence` choose on paper; `calibrate` puts a profile together, `report` shows what it rests on.
"""

from __future__ import annotations

from eval.calibration.calibrate import MIN_QUESTIONS, calibrate, most_steps
from eval.calibration.verdict import verdict

__all__ = ["MIN_QUESTIONS", "calibrate", "most_steps", "verdict"]
