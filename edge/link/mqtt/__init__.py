"""MQTT: the state and the events for any broker, commands from it, and discovery for Home Assistant."""
