"""What changes the picture in a step, given its loss and gradient.

To add an optimiser, write a file like those of the built-in ones, and list it here.
"""

from mnst.optimizers.adam import Adam
from mnst.optimizers.base import Optimizer, OptimizerState
from mnst.optimizers.lbfgs import LBFGS

OPTIMIZERS = {optimizer.name: optimizer for optimizer in (Adam, LBFGS)}
"""The optimisers that come with mnst, by name."""

__all__ = ["LBFGS", "OPTIMIZERS", "Adam", "Optimizer", "OptimizerState"]
