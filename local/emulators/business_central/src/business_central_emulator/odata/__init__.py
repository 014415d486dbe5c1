"""How OData reads it: URLs, query options, filters, pages, `$batch`, `$metadata`, request bodies."""
