"""The one-machine stack: every service and the real servers below it as children of one supervisor."""
