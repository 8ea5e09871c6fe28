"""The HTTP API, and the process that serves it.

app.py        routes and errors
bodies.py     request bodies: bounded in size and time
reports.py    POST /v1/reports: health reports
devices.py    POST /v1/enrol: a device enrols itself
operators.py  GET for people and their tools, with the operators' token
serving.py    one server a workspace: foreground, and how to stop it
"""

from registry.api.app import application
from registry.api.serving import running, serve, stop

__all__ = ["application", "running", "serve", "stop"]
