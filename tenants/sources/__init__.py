"""Where settings documents come from. Each source yields `tenants.catalog.Changes`; `gatecast` picks one."""
