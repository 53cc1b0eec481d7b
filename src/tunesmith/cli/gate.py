"""`tunesmith gate`: whether a run may ship, by a policy, for a person and for CI."""

from typing import Annotated

import typer

from tunesmith.cli.report import Run


def gate(
    run: Run,
    policy: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="hobby, company, regulated, or a policy of your own (.yaml).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Hold a finished run against a policy: pass or fail, with the reason of each rule.

    Each limit is held against the far end of the 95 % interval. Exit status: 0 pass, 1 fail, 2 when the policy is wrong
    or something it asks for was not measured, which does not pass either.
    """
    from tunesmith.core.files import dump
    from tunesmith.release.measured import read_known
    from tunesmith.release.policy import read_policy
    from tunesmith.release.shown import lines
    from tunesmith.release.verdict import judge

    asked, known = read_policy(policy), read_known(run)
    found = judge(asked, policy, known)
    if as_json:
        print(dump(found.document(known)), end="")
    else:
        print("\n".join(lines(found)))
    raise typer.Exit(found.status)
