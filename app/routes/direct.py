"""Routes on which every tenth of a millisecond counts: documented by FastAPI, called without its general solver.

FastAPI resolves a function's parameters anew for each request, whatever they are, which took .3 of the .9 ms that a
segmentation spends on the event loop. These functions have the same three, which are had for a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from app.errors import BadParameter
from app.routes.once import once
from app.routes.problems import describe_validation
from app.routes.services import services_of


class Direct(APIRoute):
    """A route whose function takes `request`, `query`, a model of the whole query, and `services`; no other, by name.

    Args: those of `APIRouter.post`, by `APIRouter(route_class=Direct)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Makes what is called for each request. It raises BadParameter for what `once` or the query refuses."""
        function = self.endpoint
        query: type[BaseModel] = get_type_hints(function)["query"]

        async def handle(request: Request) -> Response:
            try:
                asked = query.model_validate(once(request.query_params))
            except ValidationError as error:
                raise BadParameter(describe_validation(error)) from error
            response: Response = await function(request=request, query=asked, services=await services_of(request))
            return response

        return handle
