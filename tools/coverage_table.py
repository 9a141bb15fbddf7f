"""The coverage of a test run, short: `python tools/coverage_table.py`, after the run.

Combines what the run's processes left in .coverage/, writes the whole report to .coverage/report.txt (every
file, with the lines and branches that no test reached) and prints the total and every file of which less
than 85 % is reached. A process that a test kills leaves nothing: what only such processes run looks less
tested than it is.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import CoverageWarning, NoDataError

ENOUGH = 85.0


def main() -> int:
    measured = Coverage()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # a killed process may leave half a file
            measured.combine()
    except NoDataError:
        print("coverage: nothing was measured")
        return 1
    measured.save()
    report = Path(measured.config.data_file).with_name("report.txt")
    with report.open("w") as file:
        total = measured.report(file=file, show_missing=True, precision=1)
    low = []
    for line in report.read_text().splitlines():
        words = line.split()
        if len(words) >= 6 and words[0].endswith(".py") and float(words[5].rstrip("%")) < ENOUGH:
            low.append((float(words[5].rstrip("%")), words[0], words[1]))
    if low:
        print(f"\nBelow {ENOUGH:g} % (statements and branches that a test reached):\n")
        for share, name, statements in sorted(low):
            print(f"  {share:5.1f} %  {name}  ({statements} statements)")
    print(f"\ncoverage: {total:.1f} % of statements and branches; all files: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
