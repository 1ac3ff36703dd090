"""`/worklist/stream` and `/worklist/news`: what is open now, told as it changes or asked for; neither keeps a session alive."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from server.people.door import LookingOn
from server.web.newsroom import Newsroom, read_news

router: Final = APIRouter(include_in_schema=False)

TIME_EVERY_S: Final = 20.0
"""So often a page is told the server's time, by which its clocks run. FastAPI's own comment keeps the line open between."""

RETRY_MS: Final = 3000


def newsroom_of(request: Request) -> Newsroom:
    newsroom = request.app.state.newsroom
    assert isinstance(newsroom, Newsroom), type(newsroom)
    return newsroom


@router.get("/worklist/stream", response_class=EventSourceResponse)
async def stream(
    caller: LookingOn,
    newsroom: Annotated[Newsroom, Depends(newsroom_of)],
    last_event_id: Annotated[str, Header(max_length=64)] = "",
) -> AsyncIterator[ServerSentEvent]:
    """All that is open, again whenever it has changed; to a page that comes back, only if it has changed meanwhile."""
    with newsroom.open_page(caller, last_event_id) as page:
        yield ServerSentEvent(event="time", data=caller.clinic.now().isoformat(), retry=RETRY_MS)
        while not page.is_over:
            told = await page.next(TIME_EVERY_S)
            if told is not None:
                yield ServerSentEvent(event="news", id=told.mark, data=told.as_json())
            elif not page.is_over:
                yield ServerSentEvent(event="time", data=caller.clinic.now().isoformat())
        if page.is_signed_out:
            yield ServerSentEvent(event="ended", data="")


@router.get("/worklist/news")
def show_news(caller: LookingOn) -> Response:
    """The same for a browser that hears no stream; asked for by the page itself."""
    return JSONResponse({**read_news(caller).as_json(), "now": caller.now.isoformat()})
