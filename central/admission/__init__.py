"""The examination of received modules, in a process of its own: numbers, statistics, a trial run."""
