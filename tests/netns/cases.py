"""A scenario, a case (a scenario with one daemon, or with none), and how a case is judged."""

import dataclasses
import pathlib
import time
import traceback
import typing

from kernel import BASICS
from lab import Lab
from waiting import Failure, NotApplicable

NOT_APPLICABLE = pathlib.Path(__file__).with_name("not-applicable")

PASS, FAIL, NOT_AVAILABLE, SKIP = "pass", "FAIL", "n/a", "skip"

LINES_SHOWN = 150
"""Lines of each log and configuration that a failure prints, from the end."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A row of the table."""

    name: str
    run: typing.Callable
    needs: tuple
    lab: dict
    alone: bool
    daemons: tuple
    measures: bool

    def columns(self, daemons):
        """The daemons of `daemons` that it runs with; it may run without any."""
        if self.alone:
            return [Nobody.name]
        return [name for name in daemons if not self.daemons or name in self.daemons]


class Nobody:
    """In the place of a daemon, where a scenario is not about BGP."""

    name = "none"

    @staticmethod
    def missing_programs():
        """None is needed."""
        return []


@dataclasses.dataclass
class Result:
    """A cell of the table. `text` is a quote, a reason or a remark."""

    status: str
    text: str = ""
    files: str = ""
    seconds: float = 0.0


SCENARIOS = {}


def scenario(name, *needs, alone=False, daemons=(), measures=False, **lab):
    """Registers a function that takes a Lab as scenario `name`. `needs` are
    kernel features beyond the basics, `lab` the options of its Lab; one that is
    `alone` runs once, without a daemon, and one with `daemons` only with these. One
    that `measures` runs when no other case does."""
    def register(function):
        SCENARIOS[name] = Scenario(name, function, BASICS + needs, lab, alone, daemons, measures)
        return function
    return register


def expected_not_applicable():
    """The committed cells that a daemon cannot offer: (daemon, scenario) → its words."""
    cells = {}
    for line in NOT_APPLICABLE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            cell, _, quote = line.partition("|")
            daemon, name = cell.split()
            cells[daemon, name] = quote.strip()
    return cells


def judge(scenario, daemon_class, directory, program, features):
    """Runs one case and returns its Result."""
    started = time.monotonic()
    result = _attempt(scenario, daemon_class, directory, program, features)
    result.seconds = time.monotonic() - started
    return result


def _attempt(scenario, daemon_class, directory, program, features):
    missing = [f"kernel lacks {need}" for need in scenario.needs if not features[need]]
    missing += [f"{path} is not installed" for path in daemon_class.missing_programs()]
    if missing:
        return Result(SKIP, ", ".join(missing))
    listed = expected_not_applicable().get((daemon_class.name, scenario.name))
    try:
        with Lab(program, daemon_class, directory, **scenario.lab) as lab:
            remark = scenario.run(lab)
    except NotApplicable as lack:
        if str(lack) == listed:
            return Result(NOT_AVAILABLE, listed)
        return Result(FAIL, f"n/a, but not so listed in not-applicable: {lack}")
    except Failure as failure:
        return _explain(directory, listed, str(failure))
    except Exception:
        return _explain(directory, listed, traceback.format_exc())
    if listed:
        return Result(FAIL, f"listed as n/a in not-applicable, but it works: {listed}")
    return Result(PASS, remark or "")


def _explain(directory, listed, reason):
    """A failure: n/a if it is a listed one and the daemon said so itself."""
    if listed and any(listed in p.read_text(errors="replace") for p in directory.rglob("*.log")):
        return Result(NOT_AVAILABLE, listed)
    return Result(FAIL, reason, files=_print_files(directory))


def _print_files(directory):
    """Configurations and logs of a case as one text."""
    shown = []
    texts = (p for p in directory.rglob("*") if p.is_file() and p.suffix != ".segments")
    for path in sorted(texts):
        lines = path.read_text(errors="replace").splitlines()
        cut = [f"... {len(lines) - LINES_SHOWN} lines before"] if len(lines) > LINES_SHOWN else []
        body = "\n".join("    " + line for line in cut + lines[-LINES_SHOWN:])
        shown.append(f"  --- {path.relative_to(directory)}\n{body}")
    return "\n".join(shown)
