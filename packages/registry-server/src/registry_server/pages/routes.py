"""Which address is which page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import attrs

from registry_server.http.responses import RequestRefusedError
from registry_server.pages.answers import PageResponse
from registry_server.pages.requests import PageRequest

Handler: TypeAlias = Callable[..., PageResponse]
"""What answers: it is given the request, the registry and the variable segments of the path."""


@attrs.frozen
class Route:
    """One address. `show` gives the page, `act` takes the form that is sent to it.

    A form that is refused is shown again, on the page of `show`, with the reason. One that is
    accepted leads to another page, or, where it only asked for something, shows the answer.
    """

    path: str
    """Below the root; `*` is a segment that is given to the handlers."""
    show: Handler | None = None
    act: Handler | None = None


class Routes:
    """Finds the route of an address."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            pattern = tuple(route.path.split("/")) if route.path else ()
            self._routes.setdefault(len(pattern), []).append((pattern, route))

    def find(self, request: PageRequest) -> tuple[Route, tuple[str, ...]]:
        """Return the route, and what stands where it has a `*`.

        Raises:
            RequestRefusedError: there is none, or it does not take the method.
        """
        segments = request.segments
        for pattern, route in self._routes.get(len(segments), ()):
            if all(a in ("*", b) for a, b in zip(pattern, segments, strict=True)):
                _check_method(route, request)
                return route, tuple(b for a, b in zip(pattern, segments, strict=True) if a == "*")
        address = "/" + "/".join(segments)
        raise RequestRefusedError(
            HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", f"There is no page at {address}"
        )


def _check_method(route: Route, request: PageRequest) -> None:
    taken: Mapping[str, Any] = {"GET": route.show, "HEAD": route.show, "POST": route.act}
    if taken.get(request.method) is None:
        allowed = ", ".join(method for method, handler in taken.items() if handler is not None)
        raise RequestRefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "ENDPOINT_NOT_FOUND",
            f"The page does not take {request.method}.",
            headers=((b"allow", allowed.encode()),),
        )
