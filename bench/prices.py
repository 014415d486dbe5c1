"""What Azure charges, in US dollars: the only place with prices. Those of East US and LRS; check your region's."""

from __future__ import annotations

from typing import Any, Final

GB_SECOND: Final = 0.000026  # Functions, Flex Consumption, on demand
MILLION_EXECUTIONS: Final = 0.40
FREE_EXECUTIONS: Final = 250_000  # a month and subscription
FREE_GB_SECONDS: Final = 100_000
INSTANCE_GB: Final = 2.0
LEAST_S: Final = 1.0  # an instance is billed for at least this long each time it becomes active

#: Per 10,000 transactions, by the kinds that `bench.storage_meter` counts.
STORAGE: Final = {"table": 0.00036, "queue": 0.004, "blob write": 0.05, "blob read": 0.004}
POLLS_10K: Final = 0.004  # looking into an empty queue
POLLS_A_DAY: Final = 6 * 8640  # three queues and their poison queues, every ten seconds

TIMERS_A_DAY: Final = {"pull_items": 96, "reconcile": 96, "keep_subscriptions": 96, "retry_sales_orders": 1440}


def bill(counted: dict[str, Any], times: float) -> dict[str, float]:
    """Return executions, GB-seconds, storage transactions and dollars for `times` of what was counted once.

    GB-seconds are an upper bound: every execution counts as if it had an instance for itself for a second at least.
    """
    factor = times / counted.get("share", 1)
    executions = sum(counted["runs"].values()) * factor
    seconds = sum(max(LEAST_S * count, counted["took_ms"][name] / 1000) for name, count in counted["runs"].items())
    gb_s = seconds * INSTANCE_GB * factor
    storage = sum(counted["storage"].values()) * factor
    storage_usd = sum(count * STORAGE[kind] / 10_000 for kind, count in counted["storage"].items()) * factor
    return {
        "executions": executions,
        "gb_s": gb_s,
        "storage": storage,
        "usd": executions / 1e6 * MILLION_EXECUTIONS + gb_s * GB_SECOND + storage_usd,
        "storage_usd": storage_usd,
    }


def idle_day(idle: dict[str, Any]) -> dict[str, float]:
    """Return the bill of a day on which nothing happens, from one tick of every timer and what is done once a day."""
    bills = [bill(idle["ticks"][name], count) for name, count in TIMERS_A_DAY.items()]
    bills += [bill(once, 1) for once in idle["daily"].values()]
    return {name: sum(one[name] for one in bills) for name in bills[0]}


def idle_connections(counted: dict[str, float]) -> dict[str, float]:
    """Return the bill of a day at rest, from what a day of some connections has by the simulation.

    It counts no transactions of queues: a message has three, and every execution but those of the timers has one.
    """
    executions = counted["executions"]
    queue = 3 * max(0.0, executions - sum(TIMERS_A_DAY.values()))
    storage = {"table": counted["table"], "queue": queue}
    return bill({"runs": {"all": executions}, "took_ms": {"all": 0}, "storage": storage}, 1)
