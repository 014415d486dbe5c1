"""The connector between Business Central and the rest of a company's systems: everything behind `function_app.py`."""
