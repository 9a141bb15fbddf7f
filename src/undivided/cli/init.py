"""`undivided init`: configuration, keys and the primary vault."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..operations.init import init as make
from .options import COMMON, Common
from .output import emit


def init(
    *, vault: Annotated[str | None, Parameter(metavar="ADDRESS")] = None, common: Common = COMMON
) -> int:
    """Make configuration, keys and the primary vault.

    Overwrites nothing; repeating is safe. The passphrase comes from
    UNDIVIDED_PASSPHRASE, UNDIVIDED_PASSPHRASE_FILE (a file's name) or
    UNDIVIDED_PASSPHRASE_COMMAND (a program to call), or is asked for; or
    UNDIVIDED_KEY_FILE names a key file or a recovery kit instead.
    Without it nothing can be recovered: keep a copy in another place.

    Example: undivided init --vault /mnt/backup/undivided

    Example: undivided init --vault "s3://bucket/portal?region=eu-central-1"

    Parameters
    ----------
    vault:
        Directory or URL of the primary vault. An existing vault is joined. A new
        one is refused where a test shows that one writer could overwrite another's
        objects.
    """
    workspace = common.open()
    made = make(workspace, vault)
    sentences = {
        "made_directories": f"made the directories of {made.config}",
        "made_vault": f"made the vault {made.vault}",
        "joined_vault": f"joined the vault {made.vault}",
        "wrote_keys": f"wrote {workspace.key_file()}",
        "wrote_config": f"wrote {workspace.config_file}",
    }
    lines = [
        *([sentences[step] for step in made.steps] or ["nothing to do: everything is there"]),
        "",
        f"configuration  {made.config}",
        f"state          {made.state}",
        f"primary vault  {made.vault}",
        "",
        "Next: describe a service in a file, `undivided service apply FILE`, `undivided protect SERVICE`.",
    ]
    emit(common.json, made.as_record(), lines)
    return 0
