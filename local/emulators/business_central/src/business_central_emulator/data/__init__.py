"""What there is: entity tables as data, values, rows, indexes, transactions, companies. Knows no URL and no HTTP."""
