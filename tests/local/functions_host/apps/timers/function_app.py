"""Timer functions that report to a queue what they were told."""

import json
from typing import Any

import azure.functions as func

app = func.FunctionApp()


def _told(name: str, timer: Any) -> bytes:
    """What the timer is told; the abstract `func.TimerRequest` lacks the status."""
    return json.dumps({"name": name, "past_due": timer.past_due, "status": timer.schedule_status}).encode()


@app.timer_trigger("timer", schedule="%YEARLY%")
@app.queue_output("out", "ticks", "AzureWebJobsStorage")
def yearly(timer: func.TimerRequest, out: func.Out[bytes]) -> None:
    out.set(_told("yearly", timer))


@app.timer_trigger("timer", schedule="0 0 0 1 1 *", run_on_startup=True, use_monitor=False)
@app.queue_output("out", "ticks", "AzureWebJobsStorage")
def at_start(timer: func.TimerRequest, out: func.Out[bytes]) -> None:
    out.set(_told("at_start", timer))


@app.timer_trigger("timer", schedule="0 0 0 1 1 *", use_monitor=False)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
@app.queue_output("out", "retried", "AzureWebJobsStorage")
def stubborn(timer: func.TimerRequest, context: func.Context, out: func.Out[bytes]) -> None:
    """Fail twice, then report the attempt."""
    if context.retry_context.retry_count < 2:
        raise RuntimeError("again")
    out.set(str(context.retry_context.retry_count).encode())
