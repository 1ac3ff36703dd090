"""Names and numbers that passers-by must not read: on a screen that others see, a page shows 李** and no telephone number.

Chosen for one browser and kept in its cookie, because it is the screen that is shared, not the account. Whatever shows a
patient's name to a clinician shows it through here; the patient's own page does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.people.door import SignedIn, check_form

router: Final = APIRouter(include_in_schema=False)

COOKIE: Final = "homevigil_masked"
A_YEAR_S: Final = 365 * 24 * 3600
STARS: Final = "**"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How this browser shows whom a page is about."""

    is_masked: bool

    def name(self, name: str) -> str:
        """李秀英, or 李** where names are hidden."""
        return mask_name(name) if self.is_masked else name

    def phone(self, phone: str) -> str:
        """The number, or its last two digits where names are hidden."""
        return f"{STARS}{phone.strip()[-2:]}" if self.is_masked else phone


def mask_name(name: str) -> str:
    """The first character, and two stars whatever the length: its length would tell something, too."""
    return f"{name.strip()[:1]}{STARS}"


def shown_by(request: Request) -> Shown:
    """How the browser that asks shows names."""
    return Shown(is_masked=request.cookies.get(COOKIE) == "1")


def names_of(request: Request) -> Callable[[str], str]:
    """How the browser that asks shows a name."""
    return shown_by(request).name


@router.post("/masking")
def choose(
    caller: SignedIn,
    request: Request,
    masked: Annotated[bool, Form()],
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """Hides or shows names in this browser, and leads back to where it was chosen."""
    check_form(caller, request, csrf_token)
    answer = RedirectResponse(_came_from(request), status_code=303)
    answer.set_cookie(
        COOKIE,
        "1" if masked else "0",
        max_age=A_YEAR_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=caller.clinic.secure_cookies,
    )
    return answer


def _came_from(request: Request) -> str:
    """The page on which it was chosen, if a page of ours says so."""
    came = urlsplit(request.headers.get("Referer", ""))
    if came.netloc != request.headers.get("Host") or not came.path.startswith("/") or came.path.startswith("//"):
        return "/"
    return f"{came.path}?{came.query}" if came.query else came.path
