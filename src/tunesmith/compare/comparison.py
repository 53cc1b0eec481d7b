"""A comparison from what was asked to its table and its page; the same call goes on where an earlier one stopped."""

from collections.abc import Callable
from pathlib import Path

from tunesmith.compare.asked import Asked
from tunesmith.compare.course import Course
from tunesmith.compare.table import Table
from tunesmith.core.errors import UserError
from tunesmith.opening import run_folder
from tunesmith.report.comparison import Comparison
from tunesmith.report.comparison_page import write_page


def compare(asked: Asked, say: Callable[[str], None] = print, folder: Path | None = None) -> Comparison:
    """Run what is missing, and write `compare.json` and `compare.html` into the comparison's folder.

    Raises UserError for what concerns all methods, and Interrupted: what is done stays done. A method that fails
    becomes a row that says why.
    """
    folder = folder or asked.folder
    with run_folder(folder):
        asked.claim(folder)
        course = Course(asked, folder, say)
        try:
            course.run()
        except UserError:
            course.forget()
            raise
        found = Table(course).comparison()
        found.write(folder)
        write_page(folder, found)
        return found
