"""The verb `release`: cutting, proposing, publishing and proving releases, and going back to one."""
