"""A hub id becomes a folder: safetensors, JSON and tokenizer files only, and only when a download is allowed."""

import re
from pathlib import Path

from huggingface_hub import scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound, LocalEntryNotFoundError

from tunesmith.core.errors import UserError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w.-]{1,80})?")
# What cannot run code; nothing from folders inside the repository.
WANTED = ["*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
          "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
          "chat_template.jinja", "README.md"]  # fmt: skip


def snapshot(name: str, *, allow_download: bool) -> Path:
    """The folder of the hub model `name` (`owner/model`, or `owner/model@revision`).

    It is taken from the hub's own cache on this machine when it is there; a `UserError` when it is not and
    `allow_download` is false, or when the download fails.
    """
    model, _, revision = name.partition("@")
    try:
        return _snapshot(model, revision, local=True)
    except LocalEntryNotFoundError:
        if not allow_download:
            raise UserError(
                f"{name}: not on this machine; `tunesmith bases --get {name}` downloads it from the model hub"
            ) from None
    try:
        return _snapshot(model, revision, local=False)
    except Exception as error:  # of many libraries: network, permissions, no such model
        raise UserError(
            f"{name}: the download from the model hub failed: {' '.join(str(error).split())[:300]}"
        ) from error


def _snapshot(model: str, revision: str, *, local: bool) -> Path:
    return Path(
        snapshot_download(
            model,
            revision=revision or None,
            allow_patterns=WANTED,
            ignore_patterns=["*/*"],
            local_files_only=local,
        )
    )


def known_models() -> list[str]:
    """-> the ids of the models in the hub's cache on this machine with a configuration; no connection is opened."""
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    held = {
        repo.repo_id
        for repo in repos
        if repo.repo_type == "model"
        and any(file.file_name == "config.json" for revision in repo.revisions for file in revision.files)
    }
    return sorted(held)
