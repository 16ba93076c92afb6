"""The pages of one registry: which address is which page, and how each is answered."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import unquote

import attrs
from litestar.types import HTTPScope

from registry_core import Origin, Registry, RegistryError
from registry_core.wire import code_of
from registry_server.http import outages, responses
from registry_server.http.declarations import PAGES
from registry_server.http.parts import ANONYMOUS, SeenRegistry, groups_of
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.pages import (
    answers,
    failures,
    forgery,
    may,
    rendering,
    requests,
    statics,
)
from registry_server.pages.answers import Headers, PageStream, Redirect, View
from registry_server.pages.requests import PageRequest
from registry_server.pages.routes import Route, Routes
from registry_server.pages.views import (
    access,
    activity,
    aliases,
    approvals,
    compare,
    files,
    forms,
    model,
    models,
    trash,
    versions,
    whereabouts,
)
from registry_server.pages.views.about import AboutPage
from registry_server.pages.views.webhooks import WebhookPages
from registry_server.process.settings import Settings
from registry_server.webhooks.operations import Handlers

ROUTES = (
    Route("", models.show),
    Route("prompts", models.show_prompts),
    Route("new", forms.new_model, forms.create_model),
    Route("activity", activity.show),
    Route("access", access.show),
    Route("activity/models/*", whereabouts.show_model),
    Route("activity/models/*/versions/*", whereabouts.show_version),
    Route("activity/models/*/aliases/*", whereabouts.show_alias),
    Route("trash", trash.show),
    Route("trash/models/*/*", trash.show_model, trash.restore_model),
    Route("trash/versions/*/*", trash.show_version, trash.restore_version),
    Route("models/*", model.show_versions),
    Route("models/*/history", model.show_history),
    Route("models/*/settings", model.show_settings),
    Route("models/*/description", forms.model_description, forms.set_model_description),
    Route("models/*/tags", model.show_settings, forms.set_model_tag),
    Route("models/*/tags/delete", model.show_settings, forms.delete_model_tag),
    Route("models/*/rename", model.show_settings, forms.rename),
    Route("models/*/delete", model.show_settings, forms.delete_model),
    Route("models/*/compare", compare.show),
    Route("models/*/aliases", aliases.show_all, aliases.create),
    Route("models/*/aliases/*", aliases.show, aliases.move),
    Route("models/*/aliases/*/rollback", aliases.show, aliases.roll_back),
    Route("models/*/aliases/*/delete", aliases.show, aliases.remove),
    Route("models/*/versions/*", versions.show),
    Route("models/*/versions/*/description", forms.version_description, forms.set_description),
    Route("models/*/versions/*/verify", versions.show, files.verify),
    Route("models/*/versions/*/tags", versions.show, forms.set_version_tag),
    Route("models/*/versions/*/tags/delete", versions.show, forms.delete_version_tag),
    Route("models/*/versions/*/approvals", versions.show, approvals.approve),
    Route("models/*/versions/*/approvals/withdraw", versions.show, approvals.withdraw),
    Route("models/*/versions/*/stage", versions.show, forms.transition),
    Route("models/*/versions/*/delete", versions.show, forms.delete_version),
)
"""Every page."""


class Site:
    """The pages of a registry."""

    def __init__(self, registry: Registry, settings: Settings, webhooks: Handlers) -> None:
        self._backend = SeenRegistry(registry)
        self._is_read_only = settings.read_only_pages
        self._own_origin = settings.public_origin
        self._is_secure = settings.is_https
        self._routes = Routes(
            (*ROUTES, *_webhook_routes(webhooks), *_about_routes(settings, webhooks))
        )

    def answer(self, scope: HTTPScope, body: bytes, *, now: int) -> Response | PageStream:
        """Return the answer to a request; failures are answers, too."""
        try:
            request = requests.page_request(scope, now=now)
            if request.segments[:1] == (statics.FOLDER,):
                zipped = answers.accepts_gzip(request.headers.get(b"accept-encoding"))
                return statics.file(request.segments[-1], accepts_gzip=zipped)
            # The router has what only begins like a page come here, too: nothing is declared of it.
            route, parameters = self._routes.find(request)
            if request.rights is not None:
                segment = request.segments[0] if request.segments else ""
                PAGES[segment].check(request.rights, None)
            if request.method == "POST":
                return self._acted(route, parameters, request, body)
            return self._shown(route, parameters, request, HTTPStatus.OK)
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            return failures.readable(scope, responses.failure(error, scope))

    def _shown(
        self, route: Route, parameters: tuple[str, ...], request: PageRequest, status: int
    ) -> Response | PageStream:
        assert route.show is not None, "the table finds no route that cannot answer"
        answer = route.show(request, self._backend.seen_by(request.rights), *parameters)
        if isinstance(answer, Redirect):
            return answers.redirect(request.root, answer.to)
        return self._viewed(answer, request, status)

    def _viewed(self, view: View, request: PageRequest, status: int) -> Response | PageStream:
        if request.wants_json:
            return answers.data(view.data())
        return self._page(view, request, status)

    def _page(self, view: View, request: PageRequest, status: int) -> Response | PageStream:
        secret = forgery.secret_of(request.cookies.get(forgery.COOKIE))
        headers: Headers = ()
        if secret is None and not self._is_read_only:
            secret = forgery.new_secret()
            headers = (answers.secret_cookie(secret, is_secure=self._is_secure),)
        notice = request.cookies.get(answers.NOTICE_COOKIE)
        if notice:
            headers = (*headers, answers.spent_notice())
        context = {
            **view.context,
            "request": request,
            "root": request.root,
            "now": request.now,
            "notice": unquote(notice or "")[: answers.NOTICE_MAX_LENGTH],
            "is_read_only": self._is_read_only,
            "may_change": not self._is_read_only and may.change(request),
            "may": may.of(request, is_read_only=self._is_read_only),
            "may_somewhere": may.somewhere(request, is_read_only=self._is_read_only),
            "sees_webhooks": may.of(request, is_read_only=False)("webhooks"),
            "form_token": forgery.token(secret) if secret is not None else "",
        }
        if view.is_streamed:
            return answers.stream(rendering.stream(view.template, context), headers=headers)
        body = rendering.render(view.template, context)
        zipped = answers.accepts_gzip(request.headers.get(b"accept-encoding"))
        return answers.html(body, status=status, accepts_gzip=zipped, headers=headers)

    def _acted(
        self, route: Route, parameters: tuple[str, ...], request: PageRequest, body: bytes
    ) -> Response | PageStream:
        assert route.act is not None, "the table finds no route that cannot answer"
        if self._is_read_only:
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN,
                "PERMISSION_DENIED",
                "The pages of this server only show: --read-only-pages is set.",
            )
        request = requests.with_form(request, body)
        secret = forgery.secret_of(request.cookies.get(forgery.COOKIE))
        sent = request.form.get(forgery.FIELD)
        forgery.check(request.headers, secret, sent, self._own_origin)
        try:
            done = route.act(request, self._acting(request), *parameters)
        except RegistryError as error:
            return self._refused(route, parameters, request, error)
        outages.end()
        models.forget_counts()
        if isinstance(done, View):
            return self._viewed(done, request, HTTPStatus.OK)
        headers: Headers = ()
        if done.notice:
            headers = (answers.notice_cookie(done.notice, is_secure=self._is_secure),)
        return answers.redirect(request.root, done.to, headers=headers)

    def _acting(self, request: PageRequest) -> Registry:
        """The registry in the name of who sent the form, for the reason that is in it."""
        return self._backend.seen_by(request.rights).acting_as(
            request.user or ANONYMOUS,
            reason=request.text("reason") or None,
            origin=Origin.HTTP,
            is_authenticated=request.user is not None,
            groups=groups_of(request.rights),
        )

    def _refused(
        self, route: Route, parameters: tuple[str, ...], request: PageRequest, error: RegistryError
    ) -> Response | PageStream:
        """The page that the form is on, with what was filled in and why it was not taken."""
        status = code_of(error).status
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or route.show is None:
            raise error
        problem = failures.sentence(responses.failure(error))
        again = attrs.evolve(request, problem=problem)
        try:
            return self._shown(route, parameters, again, status)
        except RegistryError:
            raise error from None


def _about_routes(settings: Settings, webhooks: Handlers) -> tuple[Route, ...]:
    page = AboutPage(settings, keeps_secrets=webhooks.keeps_secrets)
    return (Route("about", page.show),)


def _webhook_routes(webhooks: Handlers) -> tuple[Route, ...]:
    pages = WebhookPages(webhooks)
    return (
        Route("webhooks", pages.show_all),
        Route("webhooks/new", pages.new, pages.create),
        Route("webhooks/*", pages.show),
        Route("webhooks/*/edit", pages.edit, pages.change),
        Route("webhooks/*/status", pages.show, pages.switch),
        Route("webhooks/*/test", pages.show, pages.test),
        Route("webhooks/*/redeliver", pages.show, pages.redeliver),
        Route("webhooks/*/delete", pages.show, pages.delete),
    )
