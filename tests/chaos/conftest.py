"""What is minutes long is asked for: ``CHAOS_MUTATIONS=1 pytest tests/chaos/test_mutations.py``."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("CHAOS_MUTATIONS") == "1" else ["test_mutations.py"]
