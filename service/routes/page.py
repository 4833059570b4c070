"""GET /: a page to ask from and to look at what was done. Plain files: it knows no more than any client of the API."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

INDEX = "index.html"
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# Only our own files and our own API: a text that got into the page as markup could load nothing and send nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
_FILES = {file.name: file.read_bytes() for file in files("service").joinpath("page").iterdir() if file.is_file()}


@router.api_route("/", methods=["GET", "HEAD"])
async def index() -> Response:
    """The page. It needs no key: the API that it calls does, where there are keys."""
    return _response(INDEX)


@router.get("/page/{name}")
async def part(name: str) -> Response:
    """A file of the page."""
    if name not in _FILES:
        raise HTTPException(404)
    return _response(name)


def _response(name: str) -> Response:
    return Response(_FILES[name], headers=_HEADERS, media_type=_TYPES[name.rpartition(".")[2]])
