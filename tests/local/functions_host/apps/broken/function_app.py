"""An app that does not index: two functions have one name."""

import azure.functions as func

app = func.FunctionApp()


@app.function_name("same")
@app.timer_trigger("timer", schedule="0 0 0 1 1 *")
def one(timer: func.TimerRequest) -> None:
    pass


@app.function_name("same")
@app.timer_trigger("timer", schedule="0 0 0 1 1 *")
def two(timer: func.TimerRequest) -> None:
    pass
