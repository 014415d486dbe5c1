"""Where events go besides the queue `bc-events`: an Event Grid topic, a Service Bus entity, or a signed webhook."""
