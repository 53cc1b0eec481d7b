import os
from pathlib import Path

import pytest

from tests.doctor.test_findings import case, rows_of
from tunesmith.core.errors import UserError
from tunesmith.doctor import beside, table
from tunesmith.doctor.case import Case
from tunesmith.doctor.exposed import exposed
from tunesmith.doctor.finding import Finding

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no fork that is safe")


def personal() -> Case:
    rows = rows_of(40)
    rows[3]["completion"] += " Write to ann@example.com or call +44 20 7946 0958."
    rows[9]["completion"] += " The key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL."
    return case(rows)


def test_a_second_process_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = table.examined(personal())
    assert {"personal_data", "secret"} <= {one.kind for one in alone}
    monkeypatch.setattr(table, "worth_it", lambda some: True)
    said: list[str] = []
    assert table.examined(personal(), said.append) == alone
    assert "exposed, in a second process" in said


def test_few_rows_are_not_worth_a_process() -> None:
    assert not beside.worth_it(personal())


def test_what_is_refused_there_is_refused_here() -> None:
    def refuse(case: Case) -> list[Finding]:
        raise UserError("row 3: not like this")

    with pytest.raises(UserError, match="row 3: not like this"):
        beside.begun(refuse, personal())()


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    here = os.getpid()

    def fragile(some: Case) -> list[Finding]:
        if os.getpid() != here:
            os._exit(9)
        return exposed(some)

    assert beside.begun(fragile, personal())() == exposed(personal())
