"""Public keys of token issuers: where they come from, how fresh they are, who fetches them."""
