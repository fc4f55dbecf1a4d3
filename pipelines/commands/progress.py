"""What a person at a prompt is shown of a run's events, all on standard error."""

from __future__ import annotations

import json
import sys
import time

from pipelines.runs.events import (
    EngineConsole,
    Event,
    JobBegun,
    Limited,
    Listener,
    PassedBy,
    Shortfall,
    StepBegun,
    StepFinished,
    StepProgress,
    Unredacted,
    Warned,
    to_dict,
)

_EVERY = 60  # seconds between two lines of a step in a log
_MOST = 5  # warnings that are told one by one


def listener(progress: str, *, quiet: bool) -> Listener:
    """Shows events as `progress` says: `json` an object a line; `auto` a bar in a terminal, a line
    a minute in a log. `quiet` leaves only warnings and shortfalls."""
    show = _json if progress == "json" else Text(bar=sys.stderr.isatty())

    def show_some(event: Event) -> None:
        if isinstance(event, Warned | Shortfall) or not quiet:
            show(event)

    return show_some


def _json(event: Event) -> None:
    print(json.dumps(to_dict(event), ensure_ascii=False), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line for the user."""
    print(text, file=sys.stderr, flush=True)


class Text:
    """Shows events as text."""

    def __init__(self, *, bar: bool) -> None:
        """`bar`: of the terminal, in place of lines."""
        self.has_bar = bar
        self.warnings = 0

    def __call__(self, event: Event) -> None:
        """Show one."""
        if isinstance(event, Warned):
            self._warn(event)
        elif isinstance(event, Shortfall):
            share = 100 * event.got / event.wanted
            place = f"{event.phase}: " if event.phase else ""
            say(
                f"warning: {place}{event.source}: {event.got:,} training tokens, {share:.1f}% of "
                f"the {event.wanted:,} that the recipe asks for"
            )
        elif isinstance(event, PassedBy):
            say(f"{event.chain}: not for {', '.join(event.sources)}: {'; '.join(event.steps)}")
        elif isinstance(event, Limited):
            say(f"only the first {event.records:,} records of each source are read: this is a try")
        elif isinstance(event, Unredacted):
            say(f"personal data is replaced by no step: {', '.join(event.sources)}")
        elif isinstance(event, EngineConsole):
            say(f"the engine shows its work at {event.url}")
        elif isinstance(event, StepBegun):
            self._begin(event)
        elif isinstance(event, StepProgress):
            self._advance(event)
        elif isinstance(event, StepFinished | JobBegun):
            if self.has_bar and isinstance(event, StepFinished):
                self._bar.close()
        elif event.home:
            say(f"{event.stage}: taken from {event.home}")

    def _begin(self, event: StepBegun) -> None:
        self.begun = self.told = time.monotonic()
        self.first = event.done
        if self.has_bar:
            from tqdm import tqdm

            self._bar = tqdm(
                total=event.tasks,
                initial=event.done,
                desc=f"{event.step:<24}",
                file=sys.stderr,
                ncols=88,
                bar_format="{desc} {n_fmt}/{total_fmt} {bar} {elapsed} ETA {remaining}",
            )

    def _advance(self, event: StepProgress) -> None:
        if self.has_bar:
            self._bar.update(event.done - self._bar.n)
            return
        now = time.monotonic()
        if now - self.told < _EVERY:
            return
        self.told = now
        done = event.done - self.first
        left = (now - self.begun) * (event.tasks - event.done) / done if done else None
        eta = "" if left is None else f", {left / 60:.0f} min left"
        say(f"{event.step}: {event.done:,} of {event.tasks:,} tasks{eta}")

    def _warn(self, event: Warned) -> None:
        self.warnings += 1
        if self.warnings <= _MOST:
            mend = f": {event.mend}" if event.mend else ""
            say(f"warning: {event.where}: {event.what}{mend}")
        elif self.warnings == _MOST + 1:
            say("warning: and others; --progress json tells all")
