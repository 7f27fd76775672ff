"""What the loop asks of an optimiser: a value in a recipe, and what it starts for a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

Tensor = Any


class OptimizerState(ABC):
    """An optimiser at work on one picture. What it remembers is on the device."""

    @abstractmethod
    def update(self, loss: Tensor, gradient: Tensor, comparable: Tensor) -> None:
        """Changes the picture, and leaves it in 0..255.

        Args:
            loss: Of the picture as it is, float32 [].
            gradient: Of that loss, float32 [1, H, W, 3].
            comparable: False if the loss is another function than in the step before; bool [].
        """

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Returns how far the step goes, in units of pixel values."""

    def begin(self, step: int) -> None:  # noqa: B027  (nothing, unless something is remembered)
        """Begins a run; as if after so many steps, if not 0, and then with what it remembers."""

    def go_on_from(self, before: Any, step: int) -> None:
        """Begins in another size, where an optimiser of the same kind has stopped.

        Without a definition of its own it begins afresh.

        Args:
            before: That optimiser, an `OptimizerState` of the same kind, of a smaller picture.
            step: How many steps the run has behind it.
        """
        self.begin(0)

    def takes_back(self, loss: float) -> bool:
        """Goes back to an earlier picture, and returns True, if the last was worse; at the end."""
        return False

    @property
    def variables(self) -> dict[str, Any]:
        """All that it remembers, by name: variables, TensorFlow's or Keras'.

        A checkpoint keeps them, and another state that is assigned their values takes the very
        same steps. So nothing else may change in a run.
        """
        return {}


class Optimizer(Protocol):
    """An optimiser as a recipe holds it: a value that can be hashed, such as a frozen dataclass.

    `Recipe.replace` changes its fields by their names, but for alpha and beta, which are the
    recipe's own.
    """

    @property
    def name(self) -> str:
        """What recipes and settings call it."""

    @property
    def arrays(self) -> int:
        """How many float32 arrays of the picture's size it takes, which is what is planned for."""

    @property
    def resumes(self) -> bool:
        """Whether its states say their `variables`: runs with a checkpoint ask for it."""

    def start(self, image: Any) -> OptimizerState:
        """Returns what changes a picture, a Keras variable [1, H, W, 3] in 0..255."""
