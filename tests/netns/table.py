"""The table of results, as text."""

from cases import FAIL, PASS, SKIP


def render(scenarios, daemons, results):
    """Rows of scenarios, columns of daemons. `results`: (scenario, daemon) → Result."""
    width = max(map(len, scenarios), default=0)
    columns = [max(len(name), 4) for name in daemons]
    cells = [" " * width, *(name.ljust(w) for name, w in zip(daemons, columns))]
    lines = ["  ".join(cells).rstrip()]
    for name in scenarios:
        row = [results[name, d].status if (name, d) in results else "" for d in daemons]
        cells = [name.ljust(width), *(cell.ljust(w) for cell, w in zip(row, columns))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def details(results):
    """Every failure with its files, every quote, skip and remark."""
    lines = []
    for (name, daemon), result in sorted(results.items()):
        if result.status == FAIL:
            lines += [f"FAIL {daemon} {name}: {result.text}", result.files]
        elif result.text:
            lines.append(f"{result.status} {daemon} {name}: {result.text}")
    return "\n".join(lines)


def summary(results):
    """How many cells passed, failed and were skipped; n/a is none of them."""
    seen = [result.status for result in results.values()]
    return f"{seen.count(PASS)} passed, {seen.count(FAIL)} failed, {seen.count(SKIP)} skipped"


def acceptable(results, allow_missing):
    """Whether the run as a whole is a success."""
    bad = {FAIL} if allow_missing else {FAIL, SKIP}
    return not any(result.status in bad for result in results.values())
