"""The life of a generation in the database, and how its log is closed.

    claim ──▶ progress ──▶ finish ──────────────────────────┐   by its worker
      │                                                     │
      ├─ lease expired ──▶ recover: queued again, or failed ─┤   by the sweep
      │                                                     ▼
      └─ cancel ◀── a request                     the row is terminal: its Outcome
                                                            │
                          close_log: fence the writer off, save what readers have, append the terminal frame
                                                            │
                                 turn_order: the log is marked closed, the chat's next generation is queued

Every move of a row is a compare-and-set on (status, attempt), timed by the database. Whoever ends a generation makes one
`Outcome`; the row, the terminal frame and the receipt are all read from it. A worker that finishes its own generation appends the
terminal frame itself; everybody else closes the log with `close_log`, and the sweep does so for whoever died in between.
"""
