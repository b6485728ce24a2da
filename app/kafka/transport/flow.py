"""The flow of batches into the agents' queues."""

from __future__ import annotations

from mode.utils.queues import FlowControlEvent


class FlowControl(FlowControlEvent):
    """Faust's, except that to resume a flow that runs empties no queue.

    Faust resumes the flow before a rebalance seeks to the committed offsets, and again behind it: what was fetched and
    queued in between was thrown away, and is not fetched again.
    """

    def resume(self) -> None:
        """Let batches into the queues; those left from before the flow was suspended go."""
        if not self.is_active():
            super().resume()
