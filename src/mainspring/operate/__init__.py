"""Operation: the shell around the loop's decisions. It gathers facts, carries out acts, reads logs, watches."""
