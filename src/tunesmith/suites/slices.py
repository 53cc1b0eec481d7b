"""The test rows by the values of one of the user's columns: did the tuning serve all of them alike?

The metric is the task's own. Each slice is compared with the base on its rows; p is corrected for their number.
"""

import numpy as np

from tunesmith.core.errors import UserError, near
from tunesmith.evaluate.family import Better
from tunesmith.evaluate.items import NAME, Measured, read_items
from tunesmith.evaluate.metrics import METRICS, of_task
from tunesmith.report.suites import SuiteFound
from tunesmith.suites.subject import Subject
from tunesmith.suites.suite import Suite, Unfit

MOST = 20  # slices


def find(subject: Subject) -> SuiteFound:
    values = sliced(subject)
    if not (subject.place / NAME).is_file():
        raise Unfit("slices: the run has no items.jsonl; measure it with `tunesmith evaluate`")
    base, tuned = (read_items(subject.place, side) for side in ("base", "tuned"))
    if len(base.outcomes) > len(values):
        raise Unfit("slices: rows of plain text were cut into blocks, and a block is no row")
    values = values[: len(base.outcomes)]
    if [o.row for o in base.outcomes] != [row.number for row in subject.rows[: len(values)]]:
        raise UserError(f"{subject.place / NAME}: was measured on other rows; give `tunesmith evaluate` again")
    family = subject.family()
    counts = {value: values.count(value) for value in sorted(set(values))}
    smallest = min(counts, key=lambda value: counts[value])
    subject.announce(SUITE.name, counts[smallest], f"rows in the smallest slice, {subject.column}={smallest}")
    name = "reward" if base.outcomes[0].reward is not None else of_task(base)
    for value in counts:
        places = [i for i, one in enumerate(values) if one == value]
        some = [Measured([side.outcomes[i] for i in places], [], {}) for side in (base, tuned)]
        label = f"{name}/{subject.column}={value}"
        if name == "reward":
            rewards = [[o.reward or 0.0 for o in side.outcomes] for side in some]
            family.means(label, rewards, "higher", unit=max(1e-9, abs(float(np.mean(rewards[0])))))
            continue
        metric = METRICS[name]
        rows = [metric.rows(side) for side in some]
        better: Better = "higher" if metric.higher_is_better else "lower"
        if metric.share:
            family.means(label, [side[:, 0].tolist() for side in rows], better)
        else:
            family.statistic(label, metric.measure, rows, better)
    return SuiteFound(about=f"{SUITE.about}: {subject.column}", items=len(values), metrics=family.metrics())


def sliced(subject: Subject) -> list[str]:
    """-> the value that each test row has in the column. Raises UserError for a column that makes no slices."""
    column, rows = subject.column, subject.rows
    if column is None:
        raise Unfit("slices: name a column of the rows with --slice")
    file = rows[0].file if rows else subject.run
    every = dict.fromkeys(name for row in rows for name in row.values)
    if column not in every:
        raise UserError(f"--slice {column}: {file} has no such column{near(column, every)}; it has {', '.join(every)}")
    lacking = next((row for row in rows if column not in row.values), None)
    if lacking is not None:
        raise UserError(f"--slice {column}: {lacking.place} has no such column; each row needs it")
    values = [str(row.values[column]) for row in rows]
    distinct = set(values)
    if len(distinct) == 1:
        raise UserError(f"--slice {column}: every test row has the value `{values[0]}`; there is nothing to compare")
    if len(distinct) > MOST:
        raise UserError(
            f"--slice {column}: {len(distinct)} values in {len(values)} test rows of {file}; at most {MOST} make slices"
        )
    return values


SUITE = Suite("slices", "the test rows by one of your own columns", find, writes=False)
