"""The papers of a run: MODEL_CARD.md for people, bom.json for programs. Both only repeat what files of the run say."""

from pathlib import Path

from tunesmith.core.files import write_json, write_text
from tunesmith.release.bom import bom
from tunesmith.release.card import card
from tunesmith.release.measured import read_known
from tunesmith.release.policy import read_policy
from tunesmith.release.verdict import judge

CARD, BOM = "MODEL_CARD.md", "bom.json"


def write_papers(run: Path, policy: str | None = None) -> tuple[Path, Path]:
    """Write both. -> their paths. `policy`: whose verdict stands in the card."""
    known = read_known(run)
    verdict = None if policy is None else judge(read_policy(policy), policy, known)
    write_text(run / CARD, card(known, verdict))
    write_json(run / BOM, bom(known))
    return run / CARD, run / BOM
