"""The sections of `docs/performance.md`, each written from the numbers of one measurement."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from bench import chart, prices
from bench.peers.runner import PEERS, VARIANTS

OURS = "this bundle, events durable"
TITLES = {"ours": OURS, "two": f"{OURS}, two identities", **{name: title for name, (title, _, _) in PEERS.items()}}
PLOT = "performance.svg"
Numbers = dict[str, Any]


def prose(text: str) -> list[str]:
    """Return a paragraph in lines of a bearable length."""
    return textwrap.wrap(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table whose first column holds text and whose others hold numbers."""
    heads = list(head)
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


_PLOTTED = {
    "zero": "No latency", "modelled": "150 ms a request + 50 us a row", "slow": "150 ms a request, 2 MB/s a call",
}  # fmt: skip


def plot(numbers: Numbers) -> str:
    """Return the full pull as a bar chart."""
    groups = []
    for title, heading in _PLOTTED.items():
        bars = [
            chart.Bar(
                name=TITLES[name].replace("`", ""),
                value=one["seconds"],
                label=f"{one['seconds']:.1f} s",
                is_ours=name in _IDENTITIES,
            )
            for name, one in numbers["latency"][title].items()
        ]
        groups.append((f"{heading}: {numbers['items']:,} items, {numbers['variants']:,} variants", bars))
    return chart.svg("Seconds of a full pull", groups)


_MODELS = {
    "zero": "No latency", "modelled": "Modelled latency", "slow": "2 MB/s a call", "slow_gzip": "2 MB/s a call, gzip",
}  # fmt: skip
_CLEARLY = 0.9  # of the time: what another way must save to be worth having
_IDENTITIES = {"ours": "", "two": ", two identities"}


def _pull(numbers: Numbers) -> list[str]:
    lines = prose(f"""
        {numbers["items"]:,} items with {numbers["variants"]:,} variants. Ours goes the whole way: timer, queue,
        pages, events in storage, watermark committed; the peers hold the rows in memory or write local files. Medians
        of the runs; every run was compared with the emulator's own records. Modelled latency: 150 ms a request and 50
        us a row, expanded records included. 2 MB/s a call: 150 ms a request and that speed, before compression; what a
        peer takes a minute for was run once.
    """)
    lines += ["", f"![Full pull: seconds of each]({PLOT})"]
    for title, heading in _MODELS.items():
        lines += ["", f"**{heading}**", ""]
        lines += _pull_table(numbers["latency"][title])
    own = [
        (f"{heading}{_IDENTITIES[name]}", one)
        for title, heading in _MODELS.items()
        for name, one in numbers["latency"][title].items()
        if name in _IDENTITIES
    ]
    used = [
        (
            title,
            f"{one['busy']['mean']:.1f}",
            f"{one['busy']['without_reserved']:.0%}",
            f"{one['busy']['all']:.0%}",
            f"{host_cpu_s(one):.1f}",
            f"{one['cpu_s']['azurite']:.1f}",
        )
        for title, one in own
    ]
    one = numbers["latency"]["modelled"]["ours"]
    every = ", ".join(f"{name} {peak:.0f} MB and {one['cpu_s'][name]:.1f} s" for name, peak in one["peaks_mb"].items())
    return [
        *lines,
        "",
        *prose("""
            How the request budget was used between the first and the last page, and processor time. The shares are of
            the time in which four of an identity's five slots or more, and all five, were in use.
        """),
        "",
        *table(("ours", "requests at once, mean", "four or more", "all five", "host's processor s", "Azurite's"), used),
        "",
        *prose(f"""
            The host is the app's worker process, the listeners are the embedded host itself; the host's processor time
            is of both. Peak memory and processor time of every process in one of our pulls, with modelled latency:
            {every}.
        """),
    ]


def _pull_table(latency: dict[str, Any]) -> list[str]:
    ours = latency["ours"]["seconds"]
    rows = [
        (
            TITLES[name],
            f"{one['seconds']:.1f}",
            f"{one['seconds'] / ours:.2f}",
            str(one["requests"]),
            f"{one['peaks_mb'].get('host', one['peaks_mb'].get('peer', 0)):.0f}",
            " ".join(map(str, one["all_seconds"])),
        )
        for name, one in latency.items()
    ]
    return table(("", "seconds", "to ours", "requests", "peak MB", "all runs, s"), rows)


def host_cpu_s(one: Numbers) -> float:
    """Return the processor time of app and host together, of one of our pulls."""
    return float(one["cpu_s"]["host"] + one["cpu_s"].get("listeners", 0.0))


def _variants(numbers: Numbers) -> list[str]:
    lines = prose(f"""
        {numbers["items"]:,} items with {numbers["variants"]:,} variants, read by plain requests,
        {numbers["workers"]} at once, in ranges and pages of the size that the bundle asks for: items with their
        variants expanded, or both sets flat and joined by the item's number. Nothing is announced or stored. Both
        brought the same records in every run: {_yes(numbers["verified"])}. What an expansion costs a real Business
        Central beside its rows no model knows.
    """)
    rows = []
    for title, ways in numbers["models"].items():
        for way, one in ways.items():
            ratio = f"{one['seconds'] / ways['expanded']['seconds']:.2f}"
            runs = " ".join(map(str, one["all_seconds"]))
            name = f"{_MODELS[title]}, {VARIANTS[way][0]}"
            rows.append((name, f"{one['seconds']:.1f}", ratio, str(one["requests"]), runs))
    shown = table(("", "seconds", "to `$expand`", "requests", "all runs, s"), rows)
    return [*lines, "", *shown, "", *prose(_variants_conclusion(numbers["models"]))]


def _variants_conclusion(models: dict[str, Numbers]) -> str:
    """Return what follows for the bundle: another way to read would have to be clearly faster, in both models."""
    faster = [
        _MODELS[title].lower()
        for title, ways in models.items()
        if ways["flat"]["seconds"] < _CLEARLY * ways["expanded"]["seconds"]
    ]
    if len(faster) == len(models):
        return "Flat is clearly faster, by more than a tenth in both models."
    where = (
        f"Flat is faster by more than a tenth with {faster[0]} alone" if faster else "Flat is in neither model faster"
    )
    return f"{where}{'' if faster else ' by more than a tenth'}: the bundle expands, and has no option for it."


def _delta(numbers: Numbers) -> list[str]:
    lost, extra = (sum(run[name] for run in numbers["runs"]) for name in ("lost", "extra"))
    rows = [
        ("this bundle, delta", f"{numbers['seconds']:.2f}"),
        ("plain loop with a filter on the time", f"{numbers['peer_seconds']:.2f}"),
        ("this bundle, nothing changed", f"{numbers['unchanged']['seconds']:.2f}"),
        ("this bundle, full pull", f"{numbers['full_seconds']:.2f}"),
    ]
    text = f"""
        {numbers["changed"]:,} of {numbers["items"]:,} items changed in each quarter of an hour, modelled latency.
        Changes lost: {lost}; announced though unchanged: {extra}. The bundle also asks for changed variants, and reads
        from ten minutes before its watermark, where some {numbers["overlap"]:,} items lie that it knows. When nothing
        had changed since: {numbers["unchanged"]["requests"]:g} requests a stream.
    """
    return [*prose(text), "", *table(("", "seconds"), rows)]


def _throttled(numbers: Numbers) -> list[str]:
    rows = []
    for name, title in (("ours", OURS), ("requests", TITLES["requests"])):
        calm, stormy = numbers[name + "_calm"]["seconds"], numbers[name]["seconds"]
        rows.append((title, f"{calm:.1f}", f"{stormy:.1f}", f"{stormy / calm:.2f}", str(numbers[name]["requests"])))
    text = f"""
        {numbers["share"]:.0%} of the requests answered 429 with `Retry-After: 1`, pages of at most
        {numbers["page_rows"]:,} rows, modelled latency. A 429 is meant for the identity, so the bundle closes all its
        slots for that second.
    """
    return [*prose(text), "", *table(("", "undisturbed s", "throttled s", "ratio", "requests"), rows)]


def _resume(numbers: Numbers) -> list[str]:
    calm, killed = numbers["calm_requests"], numbers["killed"]
    titles = {
        "worker": "a worker, full pull", "worker_delta": "a worker, delta (one request at a time)",
        "host": "the host, full pull",
    }  # fmt: skip
    rows = []
    for name, title in titles.items():
        one = killed[name]
        more = str(one["requests"] - calm) if name != "worker_delta" else ""
        times = [f"{one[part]:.0f}" for part in ("goes_on_s", "commits_s", "complete_s")]
        rows.append((title, *times, more, str(one["repeated"])))
    text = f"""
        SIGKILL when 40 % of the pages are done, with the platform's own times: a dead worker's messages come back after
        30 s, a killed host's after ten minutes, and a new host starts at once. A page that nobody moves is put again by
        the timer of every minute; what comes back later finds it done. The request slots that the dead process held
        stay shut for {numbers["slot_lease_s"]:.0f} s where pages had grown, as here, and for
        {numbers["other_lease_s"]:.0f} s otherwise, as Business Central may still be working for it, and nothing says
        that it is not: a full pull holds them all, a delta one. Seconds since the kill; an undisturbed full pull takes
        {numbers["calm_seconds"]:.1f} s. Each of its {numbers["partitions"]} partitions may read one page again. All
        records arrived, none under two ids: {_yes(all(one["verified"] for one in killed.values()))}.
    """
    head = ["killed", "reads on s", "commits s", "last record s", "requests more", "events repeated under their id"]
    return [*prose(text), "", *table(head, rows)]


_ORDERS = {
    "generated": "this bundle, generated numbers",
    "given": "this bundle, given numbers",
    "quick": "this bundle, generated numbers, quick writes",
}


def _orders(numbers: Numbers) -> list[str]:
    ours = numbers["ours"]["generated"]
    rows = []
    for name, title in _ORDERS.items():
        one = numbers["ours"][name]
        ratio = f"{one['per_1000_s'] / ours['per_1000_s']:.2f}"
        rows.append((title, f"{numbers['orders']:,}", f"{one['per_1000_s']:.0f}", ratio))
    for name, title in (("loop", "sequential loop"), ("batch", "`$batch`, one after another")):
        one = numbers[name]
        ratio = f"{one['per_1000_s'] / ours['per_1000_s']:.2f}"
        rows.append((title, f"{one['orders']:,}", f"{one['per_1000_s']:.0f}", ratio))
    text = f"""
        {numbers["lines"]} lines an order, {numbers["write_s"] * 1000:.0f} ms modelled for each write, quick ones
        {numbers["quick_write_s"] * 1000:.0f} ms; parts of a `$batch` are carried out one after the other. An external
        number that a sender gave is looked up before the order is posted, one that the bundle generated is not.
        Requests with generated numbers: {ours["requests"]:,}, at most {ours["most_at_once"]} at once; created once
        each: {_yes(ours["verified"])}; peak of our process: {ours["peaks_mb"]["host"]:.0f} MB. Orders are posted side
        by side: the order of arrival is not kept, not even for one customer.
    """
    return [*prose(text), "", *table(("", "orders measured", "s per 1,000", "to ours"), rows)]


def _order_delays(numbers: Numbers) -> list[str]:
    titles = {
        "alone": "nothing else to do",
        "modelled": "full pulls, modelled latency",
        "slow": "full pulls, 2 MB/s a call",
    }
    rows = [
        (
            titles[name],
            f"{one['p50_s']:.2f}",
            f"{one['p99_s']:.2f}",
            f"{one['worst_s']:.2f}",
            f"{one['pull_s']:.1f}" if "pull_s" in one else "",
        )
        for name, one in numbers["states"].items()
    ]
    text = f"""
        From queue to result: {numbers["orders"]} orders each, {numbers["per_s"]} a second,
        {numbers["write_s"] * 1000:.0f} ms modelled for each write beside the latency of every request, while one full
        pull of {numbers["items"]:,} items with variants follows the other. Created once each:
        {_yes(numbers["verified"])}.
    """
    return [*prose(text), "", *table(("", "p50, s", "p99, s", "the last, s", "a pull took, s"), rows)]


def _notifications(numbers: Numbers) -> list[str]:
    burst, stream = numbers["burst"], numbers["stream"]
    rows = [
        (
            f"{burst['notifications']:,} in one call",
            f"{burst['ack_s']:.2f}",
            "",
            "",
            "",
            f"{burst['to_last_event_s']:.2f} (the last)",
        ),
        (
            f"{stream['per_s']} calls a second for {stream['seconds']} s",
            f"{stream['ack_p50_s']:.3f}",
            f"{stream['ack_p99_s']:.3f}",
            f"{stream['event_p50_s']:.2f}",
            f"{stream['event_p95_s']:.2f}",
            f"{stream['event_p99_s']:.2f}",
        ),
    ]
    text = f"""
        Acknowledged means answered 202, with the jobs in the queue. To event: until a consumer had the event in its
        hands. Requests for {burst["notifications"]:,} records in one call: {burst["requests"]}; peak of our process:
        {numbers["host_peak_mb"]:.0f} MB. Every record was announced, under one id.
    """
    head = ("", "acknowledged p50, s", "p99, s", "event p50, s", "p95, s", "p99, s")
    return [*prose(text), "", *table(head, rows)]


def _collection(numbers: Numbers) -> list[str]:
    return prose(f"""
        One `collection` notification over {numbers["records"]:,} new items: {numbers["requests"]} requests for
        {numbers["pages"]} pages, {numbers["seconds"]:.0f} s with modelled latency, peak of our process
        {numbers["peaks_mb"]["host"]:.0f} MB. Each was announced, under one id: {_yes(numbers["verified"])}.
    """)


def _baseline(numbers: Numbers) -> list[str]:
    storage = ", ".join(
        f"{kind} {count:,}" for kind, count in sorted(numbers["storage"].items()) if "empty" not in kind
    )
    return prose(f"""
        A snapshot of the ids of {numbers["invoices"]:,} invoices (and of the demo's items and shipments) before the
        watch begins: {numbers["requests"]} requests, {numbers["seconds"]:.1f} s with modelled latency, storage
        transactions: {storage}; peak of our process {numbers["peaks_mb"]["host"]:.0f} MB. A reconcile afterwards, set
        back to before their time, read all of them again, looked up each in the ledger, as all were unpaid, and
        announced nothing: {numbers["delta_requests"]} requests, {numbers["delta_s"]:.0f} s.
    """)


def _start(numbers: Numbers) -> list[str]:
    rows = [
        ("import of `function_app`", f"{numbers['import_s']:.2f}"),
        ("process start to first handshake", f"{numbers['first_handshake_s']:.2f}"),
        (f"handshake, warm, p50 of {numbers['handshakes']}", f"{numbers['warm_p50_s']:.3f}"),
        ("handshake, warm, p99", f"{numbers['warm_p99_s']:.3f}"),
    ]
    text = f"""
        The package that is deployed: {numbers["package_files"]} files, {numbers["package_bytes"] / 1000:.0f} kB; what
        it requires is installed by the platform's build.
    """
    return [*prose(text), "", *table(("", "seconds"), rows)]


def _million(numbers: Numbers) -> list[str]:
    return prose(f"""
        {numbers["rows"]:,} items without variants, no latency: {numbers["seconds"]:.0f} s, {numbers["requests"]}
        requests, peak of our process {numbers["peaks_mb"]["host"]:.0f} MB.
    """)


def _profile(numbers: Numbers) -> list[str]:
    rows = [(kind, f"{share:.0%}", f"{share * numbers['cpu_s']:.2f}") for kind, share in numbers["shares"].items()]
    text = f"""
        Samples of the host during a full pull of {numbers["items"]:,} items without latency, taken while it held the
        interpreter's lock: {numbers["cpu_s"]:.1f} s of processor time in {numbers["seconds"]:.1f} s. The three largest:
        {"; ".join(list(numbers["shares"])[:3])}.
    """
    return [*prose(text), "", *table(("", "share", "s"), rows)]


def _cost(numbers: Numbers) -> list[str]:
    rows: list[tuple[str, dict[str, float]]] = []
    for count, idle in numbers["idle"].items():
        rows.append((f"a day of rest, companies: {count}", prices.idle_day(idle)))
    for name, title in (("in_one_call", "many in a call"), ("one_by_one", "one in a call")):
        rows.append((f"a million notifications, {title}", prices.bill(numbers["notifications"][name], 1_000_000)))
    rows.append((f"a full pull of {numbers['pull']['items']:,} items", prices.bill(numbers["pull"], 1)))
    bills = [
        (title, f"{one['executions']:,.0f}", f"{one['gb_s']:,.0f}", f"{one['storage']:,.0f}", _usd(one["usd"]))
        for title, one in rows
    ]
    quiet = [
        (
            count,
            f"{one['requests']:,.0f}",
            f"{bill['executions']:,.0f}",
            f"{bill['gb_s']:,.0f}",
            f"{bill['storage']:,.0f}",
            _usd(bill["usd"]),
        )
        for count, one in numbers["connections"].items()
        for bill in (prices.idle_connections(one),)
    ]
    inputs = [
        ("GB-second", f"{prices.GB_SECOND:.6f}"),
        ("million executions", f"{prices.MILLION_EXECUTIONS:.2f}"),
        *((f"10,000 {kind} transactions", f"{usd:.5f}") for kind, usd in prices.STORAGE.items()),
    ]
    text = f"""
        Counted on the local stack (storage through a relay), priced with the list prices in `bench/prices.py`, before
        any free grant ({prices.FREE_EXECUTIONS:,} executions and {prices.FREE_GB_SECONDS:,} GB-s a month and
        subscription). GB-seconds are an upper bound: as if every execution had an instance of
        {prices.INSTANCE_GB:.0f} GB to itself for {prices.LEAST_S:.0f} s or longer. A day of rest has the default
        schedules: 96 pulls, reconciles and subscription checks, 1,440 looks for waiting orders, one snapshot of all
        ids, one order book. Looks into empty queues are the platform's own: every 10 s and queue while an instance is
        up, at most {_usd(prices.POLLS_A_DAY * prices.POLLS_10K / 10_000)} a day.
    """
    of_connections = """
        A day of rest by connections, of one company and four entities each: an hour of the simulation's virtual time,
        times 24. It counts requests to Business Central, executions and table transactions; three queue transactions
        are added for every message.
    """
    head = ("executions", "GB-s (at most)", "storage transactions", "USD")
    return [
        *prose(text),
        "",
        *table(("", *head), bills),
        "",
        *prose(of_connections),
        "",
        *table(("connections", "requests", *head), quiet),
        "",
        *table(("price", "USD"), inputs),
    ]


def _usd(value: float) -> str:
    return f"{value:.2f}" if value >= 0.995 else f"{value:.4f}"


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "**no**"


SECTIONS: dict[str, tuple[str, Callable[[Numbers], list[str]]]] = {
    "pull": ("Full pull", _pull),
    "variants": ("Variants: expanded or flat", _variants),
    "delta": ("Delta with one per cent changed", _delta),
    "throttled": ("Throttled", _throttled),
    "resume": ("Killed and resumed", _resume),
    "orders": ("Sales orders", _orders),
    "order-delays": ("Sales orders while a pull runs", _order_delays),
    "notifications": ("Notifications", _notifications),
    "collection": ("A collection notification", _collection),
    "baseline": ("The first watch", _baseline),
    "start": ("Start", _start),
    "million": ("A million items", _million),
    "profile": ("Profile of the pull", _profile),
    "cost": ("Cost", _cost),
}
