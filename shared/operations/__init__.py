"""Changes that somebody proposes: what a person is shown, the person's decision, and the effect. And the log of all of it.

    propose ──▶ proposed ──▶ approve ──▶ approved ──▶ claim_commit … finish_commit ──▶ committed | stale | failed
                   │
                   ├──▶ refuse ──▶ refused
                   └──▶ expire ──▶ expired

One row decides, by compare-and-set: of several decisions at once, one wins. Each move writes its entry of the audit log, and
queues the generation that awaits the operation, in its own transaction; `telling.py` tells of the move after the commit.
An operation of the kind `tool_call` is committed as soon as it is approved: the tool is called by the generation then.
"""
