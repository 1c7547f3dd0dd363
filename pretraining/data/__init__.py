"""From the files of a cohort to the patches of a step: prepare once, cache, read by patch."""
