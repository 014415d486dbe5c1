"""What the buttons of the connect page do beside sign-in and session: redrive, dismiss, erase, sync now.

Owns which use case a button calls and the word for what came of it; the messages leave with the page's answer.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from shared.connections.context import Context
from shared.dead_letters import erase, redrive
from shared.operations.connect_values import Action
from shared.operations.stores import Stores
from shared.orders import resume
from shared.outputs import Outputs

#: Timers that a person starts with "Sync now".
SYNCED: Final = ("pull_items", "reconcile")
#: Orders that are looked through for those of one cause.
_COUNT: Final = 10_000


class Done(StrEnum):
    """What came of an action; also the word that the page's address then holds."""

    REDRIVEN = "redriven"
    SYNCED = "synced"
    DISMISSED = "dismissed"
    ERASED = "erased"
    UNCHANGED = "unchanged"
    NOT_FOUND = "not_found"


#: Takes the fields of a form.
type Do = Callable[[Mapping[str, str]], Done]


def actions(
    ctx: Context, stores: Stores, leave: Callable[[Outputs], object], run_timer: Callable[[str], Outputs]
) -> dict[str, Do]:
    """Return what each action does; `leave` takes what is to leave, `run_timer` does the work of a timer."""

    def redrive_order(form: Mapping[str, str]) -> Done:
        found, outgoing = resume.redrive(stores.orders, form.get("key", ""))  # a key names its orders in every company
        leave(outgoing)
        return Done.REDRIVEN if outgoing.resumes else Done.UNCHANGED if found else Done.NOT_FOUND

    def redrive_cause(form: Mapping[str, str]) -> Done:
        outgoing = resume.redrive_cause(stores.orders, form.get("cause", ""), _COUNT)
        leave(outgoing)
        return Done.REDRIVEN if outgoing.resumes else Done.NOT_FOUND

    def dismiss_order(form: Mapping[str, str]) -> Done:
        is_done = stores.orders.dismiss(form.get("key", ""), form.get("company", ""), ctx.now())
        return Done.DISMISSED if is_done else Done.NOT_FOUND

    def erase_key(form: Mapping[str, str]) -> Done:
        erased = erase.erase(ctx, stores.orders, stores.dead_letters, form.get("key", ""))
        gone = erased.orders + erased.dead_letters
        return Done.ERASED if gone else Done.UNCHANGED if erased.found else Done.NOT_FOUND

    def redrive_dead_letter(form: Mapping[str, str]) -> Done:
        queue, _, job = form.get("id", "").partition("/")
        outgoing = redrive.redrive(ctx, stores.dead_letters, queue, job)
        if outgoing is None:
            return Done.NOT_FOUND
        leave(outgoing)
        return Done.REDRIVEN

    def redrive_queue(form: Mapping[str, str]) -> Done:
        outgoing = redrive.redrive_queue(ctx, stores.dead_letters, form.get("queue", ""))
        leave(outgoing)
        return Done.UNCHANGED if outgoing == Outputs() else Done.REDRIVEN

    def sync(_: Mapping[str, str]) -> Done:
        planned = [run_timer(function) for function in SYNCED]
        for outgoing in planned:
            leave(outgoing)
        return Done.SYNCED if any(outgoing != Outputs() for outgoing in planned) else Done.UNCHANGED

    return {
        Action.REDRIVE_ORDER: redrive_order, Action.REDRIVE_CAUSE: redrive_cause, Action.DISMISS_ORDER: dismiss_order,
        Action.ERASE_KEY: erase_key, Action.REDRIVE_DEAD_LETTER: redrive_dead_letter,
        Action.REDRIVE_QUEUE: redrive_queue, Action.SYNC: sync,
    }  # fmt: skip
