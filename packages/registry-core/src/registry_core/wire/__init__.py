"""MLflow's REST vocabulary: requests, answers and errors as JSON, both ways.

The server reads requests and writes answers with it; the REST store does the reverse.

"Contract 3.7", here and in every other module, is section 3.7 of
`docs/reference/wire-contract.md`: what MLflow's own server and client do on the wire.
"""

from registry_core.answer_objects import encode_model_version, encode_registered_model, plain
from registry_core.wire.converter import (
    Json,
    WrongTypeError,
    camel_case,
    converter,
    decode_model_version,
    decode_registered_model,
    decode_request,
    encode_request,
    wrong_type,
)
from registry_core.wire.errors import (
    CODES,
    ErrorCode,
    code_of,
    decode_error,
    error_body,
)
from registry_core.wire.payloads import (
    JSON_CONTENT_TYPE,
    check_content_type,
    dumps,
    fields_of_body,
    fields_of_query,
)

__all__ = [
    "CODES",
    "JSON_CONTENT_TYPE",
    "ErrorCode",
    "Json",
    "WrongTypeError",
    "camel_case",
    "check_content_type",
    "code_of",
    "converter",
    "decode_error",
    "decode_model_version",
    "decode_registered_model",
    "decode_request",
    "dumps",
    "encode_model_version",
    "encode_registered_model",
    "encode_request",
    "error_body",
    "fields_of_body",
    "fields_of_query",
    "plain",
    "wrong_type",
]
