"""The frame around every queue message: done, retried by the queue, or kept for a person."""
