"""What goes over the wire: requests and answers of the native API, for the service and its Python client.

Knows neither torch nor a web framework.
"""

from service.schemas.answer import (
    AnswerObject,
    AnswerRequest,
    Bridge,
    FailedAnswer,
    Fallback,
    Hop,
    Patch,
    Strategy,
    Usage,
)
from service.schemas.base import (
    MAX_TEXT,
    Alternative,
    ErrorBody,
    ErrorDetail,
    Number,
    Request,
    Response,
    Text,
    request_body,
)
from service.schemas.patchscope import FailedPatchscope, Graft, OutcomeObject, PatchscopeRequest, Point
from service.schemas.profile import ProfileObject, Thresholds
from service.schemas.tokens import ChatMessage, TokenizeRequest, TokenObject, Tokens

__all__ = [
    "MAX_TEXT",
    "Alternative",
    "AnswerObject",
    "AnswerRequest",
    "Bridge",
    "ChatMessage",
    "ErrorBody",
    "ErrorDetail",
    "FailedAnswer",
    "FailedPatchscope",
    "Fallback",
    "Graft",
    "Hop",
    "Number",
    "OutcomeObject",
    "Patch",
    "PatchscopeRequest",
    "Point",
    "ProfileObject",
    "Request",
    "Response",
    "Strategy",
    "Text",
    "Thresholds",
    "TokenObject",
    "TokenizeRequest",
    "Tokens",
    "Usage",
    "request_body",
]
