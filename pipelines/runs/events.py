"""Events: what a run tells whoever listens to it while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StepBegun:
    """A step begins; `done` of its tasks have receipts already."""

    step: str
    tasks: int
    done: int


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Now `done` of the step's tasks have receipts."""

    step: str
    tasks: int
    done: int


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The step is over: all of its tasks have receipts, or its job failed."""

    step: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage is finished; `home` is the run that it was taken from, empty if it was made here."""

    stage: str
    records: int
    kept: int
    home: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know, and need not mend now: what, where and a mend."""

    what: str
    where: str
    mend: str


@dataclass(frozen=True, slots=True)
class PassedBy:
    """Steps of a chain, in a row, that are not for these sources; told before the first stage."""

    chain: str
    steps: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limited:
    """Only the first so many records of each source are read; told before the first stage."""

    records: int


@dataclass(frozen=True, slots=True)
class Unredacted:
    """Sources whose personal data no step replaces; told before the first stage."""

    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A source gave fewer training tokens than the recipe asks of it."""

    source: str
    wanted: int
    got: int
    phase: str = ""


@dataclass(frozen=True, slots=True)
class EngineConsole:
    """Where the engine shows its own page, while it works."""

    url: str


@dataclass(frozen=True, slots=True)
class JobBegun:
    """An engine that Beam brings is given the `number`th job of this process, for these steps."""

    steps: tuple[str, ...]
    number: int


Event = (
    StepBegun
    | StepProgress
    | StepFinished
    | StageFinished
    | Warned
    | PassedBy
    | Limited
    | Unredacted
    | Shortfall
    | EngineConsole
    | JobBegun
)
Listener = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Listens to nothing."""


def to_dict(event: Event) -> dict[str, Any]:
    """The event as JSON: its fields, and its name as `event`."""
    return {"event": type(event).__name__, **asdict(event)}
