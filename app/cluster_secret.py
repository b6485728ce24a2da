"""The secret that workers show each other."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from app.errors import StartRefused
from app.settings import Settings


def cluster_secret(settings: Settings) -> str:
    """CLUSTER_SECRET, else that of a file which the workers of this machine and user share; made when it is missing.

    Raises:
        StartRefused: The file can be neither read nor made.
    """
    if settings.cluster_secret is not None:
        return settings.cluster_secret.get_secret_value()
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "teamcast"
    file = folder / "cluster-secret"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = folder / f"cluster-secret.{os.getpid()}"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(32))
        try:
            os.link(made, file)  # the first worker's stands, whole, whoever else starts at the same time
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return file.read_text()
    except OSError as error:
        raise StartRefused(f"CLUSTER_SECRET is not set, and {file} cannot be used: {error.strerror}") from None
