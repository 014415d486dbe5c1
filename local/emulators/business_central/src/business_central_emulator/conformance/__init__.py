"""The emulator's claims, asked of any Business Central: a table of requests, what each must answer, and a report.

`python -m business_central_emulator.conformance` asks the emulator itself; with `BC_LIVE=1` and a sandbox's settings it
asks that. Only reads are sent unless `BC_LIVE_WRITE=1` allows writes into the company that is named. The report holds
statuses, error codes, names of properties and headers, never a value of a record.
"""
