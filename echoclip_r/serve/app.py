"""The addresses that a browser asks for, and what each gives back.

    GET  /                      the form            POST /search          a question -> /answer/NAME
    GET  /answer/NAME           hits, as a page     GET  /answer/NAME/N.json, N.csv, N.html
    GET  /study/KEY             a study             GET  /clip/KEY/still.webp, loop.webp
    GET  /heat/NAME/N/KEY       where it looked     POST /mark            a reader's mark
    POST /colour                runs of a text      GET  /progress        while it embeds
    GET, POST /login            the token           POST /theme           dark, light, system

A question comes by POST and is kept under a name that says nothing, so that no text is ever part
of an address, which browsers and proxies write down.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.responses import RedirectResponse as Redirect
from starlette.routing import Route
from starlette.types import ASGIApp

from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.search.page import to_page
from echoclip_r.serve.access import COOKIE, Access, BadBody, Guard, user_of
from echoclip_r.serve.engine import Found, FoundHit, Part, Question, title_of
from echoclip_r.serve.exports import to_csv, to_json
from echoclip_r.serve.pages import render_page
from echoclip_r.serve.service import Asked, Brought, Service
from echoclip_r.storage import json_text
from echotok.errors import EchotokError

__all__ = ["make_app"]

_STATIC = {"serve.css": "text/css", "serve.js": "text/javascript", "icon.svg": "image/svg+xml"}
_THEMES = ("dark", "light", "system")
_TOPS = (5, 10, 20, 50)
_LONGEST_TEXT = 100_000
_LONGEST_COLOURED = 20_000
_MOST_FIELDS = 20
_MOST_UPLOADS, _LARGE = 2, 1 << 20
_KEY = re.compile(r"[\w.#-]{1,200}")
_WAIT_WRONG_TOKEN = 0.5
_HTML = "text/html; charset=utf-8"

Handler = Callable[[Request], Awaitable[Response]]


class _Refused(Exception):
    """A request that cannot be answered: status, and the reason in words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def make_app(service: Service, access: Access) -> ASGIApp:
    """The application.

    Args:
        service: what it serves.
        access: who may ask.
    """
    pages = _Pages(service, access)
    routes = [
        Route("/", pages.ready(pages.home)),
        Route("/search", pages.ready(pages.search), methods=["POST"]),
        Route("/answer/{name}", pages.ready(pages.answer)),
        Route("/answer/{name}/{file}", pages.ready(pages.export)),
        Route("/brought/{name}/{file}", pages.ready(pages.brought)),
        Route("/study/{key}", pages.ready(pages.study)),
        Route("/clip/{key}/{file}", pages.ready(pages.clip)),
        Route("/heat/{name}/{number:int}/{key}", pages.ready(pages.heat)),
        Route("/mark", pages.ready(pages.mark), methods=["POST"]),
        Route("/colour", pages.ready(pages.colour), methods=["POST"]),
        Route("/progress", pages.answering(pages.progress)),
        Route("/login", pages.answering(pages.login), methods=["GET", "POST"]),
        Route("/theme", pages.answering(pages.theme), methods=["POST"]),
        Route("/static/{file}", pages.answering(pages.static)),
        Route("/favicon.ico", lambda _request: Redirect("/static/icon.svg", 308)),
    ]
    handlers: dict[Any, Any] = {
        404: lambda _request, _error: PlainTextResponse("There is no such page.", 404),
        # `Guard` logs it.
        Exception: lambda _request, _error: PlainTextResponse(
            "Something went wrong here; whoever runs this server finds it in the log.", 500
        ),
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), access)


class _Pages:
    def __init__(self, service: Service, access: Access) -> None:
        self._service, self._access = service, access
        files = resources.files("echoclip_r.serve") / "static"
        self._static = {name: (files / name).read_bytes() for name in _STATIC}
        # Each search takes all cores as it is; heat and clips that are brought are slow.
        self._uploads = asyncio.Semaphore(_MOST_UPLOADS)
        self._searches, self._slow, self._quick = (
            _Turns(2), _Turns(1), _Turns(4),
        )  # fmt: skip

    # What all have in common

    def answering(self, handler: Handler) -> Handler:
        """Turn an error that was raised on purpose into a page, or JSON where that was asked."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except _Refused as error:
                status, reason = error.status, error.reason
            except BadBody as error:  # the rest of it may still come
                text = _sentence(error.reason)
                return PlainTextResponse(text, error.status, {"Connection": "close"})
            except (EchoclipError, EchotokError) as error:
                status, reason = 400, str(error)
            if "application/json" in request.headers.get("accept", ""):
                return JSONResponse({"error": reason}, status)
            return self._page(request, "message.html", status=status, reason=_sentence(reason))

        return answer

    def ready(self, handler: Handler) -> Handler:
        """As `answering`; until the archive is embedded, the progress in its place."""

        async def wait(request: Request) -> Response:
            if not self._service.engines:
                return self._page(request, "progress.html", status=503, **self._progress())
            return await handler(request)

        return self.answering(wait)

    async def _models(self) -> None:
        """Wait until the models are loaded: without a thread, which others may need meanwhile."""
        while not self._service.is_loaded:
            await asyncio.sleep(0.1)

    def _page(
        self, request: Request, template: str, *, status: int = 200, **content: Any
    ) -> HTMLResponse:
        theme = request.cookies.get("theme", _THEMES[0])
        text = render_page(
            template,
            theme=theme if theme in _THEMES else _THEMES[0],
            themes=_THEMES,
            here=request.url.path,
            user=user_of(request.scope),
            **content,
        )
        return HTMLResponse(text, status)

    def _form(self, **values: Any) -> dict[str, Any]:
        """What the form on every page needs."""
        engine = self._service.engines[0]
        known = {
            "text": "",
            "where": "",
            "target": "clips",
            "top": 10,
            "models": "0" if len(self._service.engines) == 1 else "all",
        }
        return {
            "form": known | values,
            "tops": _TOPS,
            "models": [one.model.name for one in self._service.engines],
            "findings": [(rule.title, rule.kind) for rule in engine.rules.findings.values()],
            "columns": [name for name in engine.index.columns if name not in engine.rules.findings],
            "loading": not self._service.is_loaded,
            "num_clips": len(engine.index),
            "num_studies": engine.index.num_studies,
            "archive_notes": engine.index.notes,
            "max_mb": self._access.max_body >> 20,
        }

    # Pages

    async def home(self, request: Request) -> Response:
        return self._page(request, "home.html", error="", **self._form())

    async def search(self, request: Request) -> Response:
        if not _may_be_large(request):
            return await self._search(request)
        # Files lie in memory until they are read: the others are not received before.
        async with self._uploads:
            return await self._search(request)

    async def _search(self, request: Request) -> Response:
        form = await self._read_form(request)
        values = {
            name: _field(form, name)
            for name in ("text", "where", "target", "top", "models", "study")
        }
        shown = {
            "text": values["text"],
            "where": values["where"],
            "target": "reports" if values["target"] == "reports" else "clips",
            "top": int(values["top"]) if values["top"] in map(str, _TOPS) else 10,
            "models": values["models"] or "0",
        }
        brought: Brought | None = None
        try:
            try:
                question, brought = await self._question(form, values)
            finally:
                await form.close()
            if brought is not None and brought.refusal:
                error = f"The clip is not used: {brought.refusal}"
                return self._page(
                    request, "home.html", status=422, error=_sentence(error), **self._form(**shown),
                    before=_data(brought.before),
                )  # fmt: skip
            asked = await self._searches(
                partial(
                    self._service.ask,
                    question,
                    user=user_of(request.scope),
                    models=self._numbers(str(shown["models"])),
                    k=int(str(shown["top"])),
                    brought=brought,
                )
            )
        except (EchoclipError, EchotokError, _Refused) as error:
            status = error.status if isinstance(error, _Refused) else 422
            reason = error.reason if isinstance(error, _Refused) else str(error)
            if "application/json" in request.headers.get("accept", ""):
                return JSONResponse({"error": reason}, status)
            return self._page(
                request, "home.html", status=status, error=_sentence(reason), **self._form(**shown)
            )
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(
                {"answer": asked.name, "models": [to_json(asked.answers[n]) for n in asked.answers]}
            )
        return Redirect(f"/answer/{asked.name}", 303)

    async def answer(self, request: Request) -> Response:
        asked = self._service.asked(request.path_params["name"])
        if asked is None:
            return self._page(request, "gone.html", status=410, error="", **self._form())
        question = asked.question
        marks = await self._quick(
            partial(self._service.marks.of, asked.name, user_of(request.scope))
        )
        study = None
        if question.kind == "study":
            engine = self._service.engines[min(asked.answers)]
            study = await self._quick(partial(engine.study, question.key))
        numbers = list(asked.answers)
        chosen = "all" if len(numbers) > 1 else str(numbers[0])
        return self._page(
            request,
            "answer.html",
            error="",
            asked=asked,
            title=title_of(question),
            own=None if study is None else study,
            own_parts=self._parts(question.text if study is None else study.report),
            marks=marks,
            spreads={number: _bars(asked.answers[number]) for number in numbers},
            **self._form(
                text=question.text, where=question.where, target=question.target, models=chosen
            ),
        )

    async def study(self, request: Request) -> Response:
        key = self._key(request)
        service, user = self._service, user_of(request.scope)
        await self._quick(partial(service.show_study, key, user=user))
        study = await self._quick(partial(service.engines[0].study, key))
        parts = self._parts(study.report)
        return self._page(request, "study.html", error="", study=study, parts=parts, **self._form())

    async def progress(self, request: Request) -> Response:
        del request
        service = self._service
        ready = {"ready": bool(service.engines), "loaded": service.is_loaded}
        return JSONResponse({**ready, **self._progress()})

    async def login(self, request: Request) -> Response:
        if self._access.token is None:
            return Redirect("/", 303)
        error = ""
        if request.method == "POST":
            form = await self._read_form(request)
            if self._access.is_token(_field(form, "token").strip()):
                response = Redirect("/", 303)
                response.set_cookie(
                    COOKIE, self._access.session(), httponly=True, samesite="strict",
                    max_age=12 * 3600, secure=request.url.scheme == "https",
                )  # fmt: skip
                return response
            await asyncio.sleep(_WAIT_WRONG_TOKEN)
            error = "This is not the token."
        return self._page(request, "login.html", status=401 if error else 200, error=error)

    async def theme(self, request: Request) -> Response:
        form = await self._read_form(request)
        theme, here = _field(form, "theme"), _field(form, "here")
        is_ours = re.fullmatch(r"/(?:(?:answer|study)/[\w.#-]+)?", here) is not None
        response = Redirect(here if is_ours else "/", 303)
        if theme in _THEMES:
            response.set_cookie("theme", theme, samesite="strict", max_age=365 * 86400)
        return response

    # Pictures and files

    async def static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in self._static:
            raise _Refused(404, "there is no such file")
        return Response(
            self._static[name], media_type=_STATIC[name], headers={"Cache-Control": "max-age=300"}
        )

    async def clip(self, request: Request) -> Response:
        key, file = self._key(request), request.path_params["file"]
        makers = {"still.webp": self._service.still, "loop.webp": self._service.loop}
        if file not in makers or not self._service.is_shown(key):
            raise _Refused(404, "there is no such picture on a page that is open")
        return _webp(await self._quick(partial(makers[file], key)))

    async def brought(self, request: Request) -> Response:
        asked = self._asked(request)
        pictures = {"before.webp": asked.before, "after.webp": asked.after}
        found = pictures.get(request.path_params["file"])
        if not found:
            raise _Refused(404, "there is no such picture")
        return _webp(found)

    async def heat(self, request: Request) -> Response:
        asked, key = self._asked(request), self._key(request)
        number = request.path_params["number"]
        self._hit(asked, number, key=key)
        user = user_of(request.scope)
        await self._models()
        return _webp(await self._slow(partial(self._service.heat, asked, number, key, user=user)))

    async def export(self, request: Request) -> Response:
        asked = self._asked(request)
        number, _, form = request.path_params["file"].partition(".")
        if form not in ("csv", "json", "html") or not number.isdigit():
            raise _Refused(404, "there is no such file")
        if int(number) not in asked.answers:
            raise _Refused(404, "this model was not asked")
        found = asked.answers[int(number)]
        user = user_of(request.scope)
        note = partial(self._service.note_export, asked, int(number), user=user, action=form)
        await self._quick(note)
        if form == "json":
            return Response(json_text(to_json(found)), media_type="application/json")
        if form == "csv":
            return _download(to_csv(found), "answer.csv", "text/csv; charset=utf-8")
        engine = self._service.engines[int(number)]

        def page() -> str:
            answer = engine.as_answer(asked.question, found)
            about = f"Model {found.model}, {found.num_compared:,} looked through"
            return to_page([answer], title="What was found", about=about, rules=engine.rules)

        return _download(await self._slow(page), "answer.html", _HTML)

    # What scripts ask for

    async def colour(self, request: Request) -> Response:
        form = await self._read_form(request)
        text = _field(form, "text")[:_LONGEST_COLOURED]
        parts = await self._quick(partial(self._parts, text))
        return JSONResponse([[part.text, part.kind] for part in parts])

    async def mark(self, request: Request) -> Response:
        form = await self._read_form(request)
        asked = self._service.asked(_field(form, "answer"))
        number, rank = _field(form, "number"), _field(form, "rank")
        if asked is None or not number.isdigit() or not rank.isdigit():
            raise _Refused(404, "the answer is no longer kept; ask again, and mark then")
        found, hit = self._hit(asked, int(number), rank=int(rank))
        said = {"yes": True, "no": False, "none": None}.get(_field(form, "relevant"))
        await self._quick(
            partial(
                self._service.marks.set,
                question=asked.name,
                reader=user_of(request.scope),
                model=found.model,
                fingerprint=found.fingerprint,
                kind=asked.question.kind,
                target=asked.question.target,
                rank=hit.rank,
                study=hit.study.study_id,
                shown=len(found.hits),
                relevant=said,
            )
        )
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"relevant": said})
        return Redirect(f"/answer/{asked.name}", 303)

    # Parts of requests

    async def _read_form(self, request: Request) -> FormData:
        """The fields of a form; a file stays in memory, whatever its size."""
        kind = request.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            return await request.form(max_fields=_MOST_FIELDS)
        parser = MultiPartParser(
            request.headers,
            request.stream(),
            max_files=1,
            max_fields=_MOST_FIELDS,
            max_part_size=4 * _LONGEST_TEXT,
        )
        parser.spool_max_size = self._access.max_body + 1
        try:
            return await parser.parse()
        except MultiPartException as error:
            raise _Refused(400, f"what was sent cannot be read: {error.message}") from None
        except BadBody:
            for file in parser._files_to_close_on_error:
                file.close()
            raise

    async def _question(
        self, form: FormData, values: Mapping[str, str]
    ) -> tuple[Question, Brought | None]:
        text, where = values["text"].strip(), values["where"].strip()
        target: Any = "reports" if values["target"] == "reports" else "clips"
        if len(text) > _LONGEST_TEXT:
            raise OptionError(
                f"the text has {len(text):,} letters; at most {_LONGEST_TEXT:,} are taken"
            )
        file = form.get("clip")
        if values["study"]:
            return Question(kind="study", key=values["study"], where=where, target=target), None
        if isinstance(file, UploadFile) and file.filename:
            if text:
                raise OptionError("give a text or a clip to look for, and not both")
            content = await file.read()
            if not content:
                raise OptionError("the file is empty (0 bytes)")
            name = file.filename[-80:]
            await self._models()
            brought = await self._slow(partial(self._service.bring, name, content))
            question = Question(
                kind="clip", name=name, where=where, target=target, frames=brought.frames
            )
            return question, brought
        if text:
            await self._models()
            return Question(kind="text", text=text, where=where, target=target), None
        return Question(kind="filter", where=where, target=target), None

    def _numbers(self, models: str) -> list[int]:
        every = list(range(len(self._service.engines)))
        return [int(models)] if models.isdigit() and int(models) in every else every

    def _asked(self, request: Request) -> Asked:
        asked = self._service.asked(request.path_params["name"])
        if asked is None:
            raise _Refused(410, "this answer is no longer kept; ask again")
        return asked

    def _key(self, request: Request) -> str:
        key: str = request.path_params["key"]
        if not _KEY.fullmatch(key):
            raise _Refused(404, "there is no such clip")
        return key

    def _hit(
        self, asked: Asked, number: int, *, key: str = "", rank: int = 0
    ) -> tuple[Found, FoundHit]:
        found = asked.answers.get(number)
        for hit in () if found is None else found.hits:
            if hit.rank == rank or hit.study.key == key:
                assert found is not None
                return found, hit
        raise _Refused(404, "there is no such hit")

    def _parts(self, text: str) -> tuple[Part, ...]:
        return self._service.engines[0].parts(text) if text else ()

    def _progress(self) -> dict[str, Any]:
        progress, failure = self._service.progress, self._service.failure
        if progress is None:
            return {"what": "", "done": 1, "total": 1, "left": None, "failure": failure}
        left = progress.seconds_left()
        return {
            "what": progress.what,
            "done": progress.done,
            "total": progress.total,
            "left": None if left is None else round(left),
            "failure": failure,
        }


class _Turns:
    """Work in threads, so many at a time; the others wait for their turn."""

    def __init__(self, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, work: Callable[[], Any]) -> Any:
        if self._limiter is None:  # it belongs to the loop that runs
            self._limiter = anyio.CapacityLimiter(self._at_a_time)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _may_be_large(request: Request) -> bool:
    """Whether a request may hold a clip: by its length, or since it does not tell that."""
    length = request.headers.get("content-length", "")
    return not length.isdigit() or int(length) > _LARGE


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _webp(content: bytes) -> Response:
    return Response(content, media_type="image/webp")


def _download(content: str, name: str, media_type: str) -> Response:
    # A name of its own for each, so that a browser does not write over one.
    stem, _, ending = name.partition(".")
    named = f"{stem}-{secrets.token_hex(3)}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{named}"'}
    return Response(content, media_type=media_type, headers=headers)


def _data(picture: bytes) -> str:
    """A picture to show within a page, of a clip that is kept nowhere."""
    import base64

    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def _bars(found: Found) -> list[tuple[float, float]]:
    """The spread of the cosines as bars: place and height, both in percent."""
    if found.nearest is None:
        return []
    bars = found.nearest.bars
    highest = max(int(bars.max()), 1)
    return [(100 * at / len(bars), 100 * int(num) / highest) for at, num in enumerate(bars)]
