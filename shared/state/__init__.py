"""What the app remembers between runs, in terms of tables: streams, ledger, orders, webhooks, set-aside messages."""
