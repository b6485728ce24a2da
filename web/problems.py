"""Errors as RFC 9457 problem details, wherever they come from."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from app.errors import Unavailable

RETRY_AFTER_SECONDS = 1

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):  # noqa: N818  (RFC 9457 calls it so)
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> web.Response:
        """The answer."""
        body = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail}
        return web.Response(
            status=self.status, body=orjson.dumps(body | self.members), content_type="application/problem+json", headers=self.headers
        )


def unavailable(detail: str) -> Problem:
    """503: come back in a moment."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def bad_query(field: str, message: str) -> Problem:
    """400 for a member of the query."""
    return Problem(400, message, errors=[{"field": field, "code": "out-of-range", "message": message}])


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error of a handler, or of the router, into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except Unavailable as error:
        return unavailable(str(error)).response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Problem(error.status, _SAID.get(error.status, error.reason), headers=headers).response()
    except ConnectionError:
        raise  # the client went away; there is nobody to answer
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url.raw_path)
        return Problem(500, "this is a fault of the server; its log tells more").response()


_SAID = {404: "there is nothing here", 405: "not with this method", 413: "the body is too large"}
