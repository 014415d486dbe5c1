"""Business Central: the verbs this app needs, the wire they travel on, and the limits they keep."""
