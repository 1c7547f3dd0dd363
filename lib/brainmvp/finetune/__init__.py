"""Fine-tune a pretrained encoder, or a model, on labelled studies: one recipe, one loss, one loop.

The command line, the annotation loop and the comparisons all call `finetune`.
"""

from brainmvp.case import Case
from brainmvp.finetune.loop import finetune
from brainmvp.finetune.result import FineTuned, Progress

__all__ = ["Case", "FineTuned", "Progress", "finetune"]
