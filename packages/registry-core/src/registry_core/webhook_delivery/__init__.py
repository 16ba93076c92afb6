"""The delivery of webhooks: what a store has queued for them, and what no store queues.

A process that serves a registry starts a `Relay`, whatever it serves it by. Nothing else delivers.
"""
