"""The errors Business Central answers with, as exceptions that know their code, status and text.

Codes and texts come from the recorded answers and from AL labels and docs "Error codes". The
correlation suffix is added when the error becomes a response, so that it equals the `request-id` header.
"""

from typing import Any


class ApiError(Exception):
    """An answer that is an error: HTTP status, Business Central's code, and the message without its suffix."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class NotEmulatedError(ApiError):
    """The request is outside of what this emulator knows; it says so instead of inventing an answer."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "Emulator_NotImplemented", f"The local emulator does not know {what}.")


def bad_request(message: str) -> ApiError:
    """Malformed body, wrong type, unknown property (400)."""
    return ApiError(400, "BadRequest", message)


def dialog(message: str) -> ApiError:
    """AL `Error(...)`: every business rule (400)."""
    return ApiError(400, "Application_DialogException", message)


def field_validation(message: str) -> ApiError:
    """AL `TestField` (400)."""
    return ApiError(400, "Application_FieldValidationException", message)


def unknown_property_in_filter(name: str, entity: str) -> ApiError:
    """A query option names a property the type does not have (400, recorded text)."""
    return bad_request(f"Could not find a property named '{name}' on type 'Microsoft.NAV.{entity}'.")


def unknown_property_in_body(name: str, entity: str) -> ApiError:
    """A body names a property the type does not have (400, recorded text)."""
    return bad_request(
        f"The property '{name}' does not exist on type 'Microsoft.NAV.{entity}'. "
        "Make sure to only use property names that are defined by the type."
    )


def segment_not_found(segment: str) -> ApiError:
    """A path segment or the record it keys does not exist (404, recorded text; also a deleted record)."""
    return ApiError(404, "BadRequest_ResourceNotFound", f"Resource not found for the segment '{segment}'.")


def query_syntax() -> ApiError:
    """A key that cannot be parsed (404, recorded text)."""
    return ApiError(404, "BadRequest_NotFound", "Bad Request - Error in query syntax.")


def company_not_found() -> ApiError:
    """The company id or name is not one of this environment (404)."""
    return ApiError(404, "Internal_CompanyNotFound", "The company does not exist.")


def method_not_allowed(method: str, what: str) -> ApiError:
    """A write on a read-only set or a whole collection (405)."""
    return ApiError(405, "BadRequest_MethodNotAllowed", f"The entity '{what}' does not support {method}.")


def read_only(name: str) -> ApiError:
    """A property the page does not let the API write (400)."""
    return ApiError(400, "BadRequest_InvalidOperation", f"Control '{name}' is read-only.")


def too_long(value: str, limit: int) -> ApiError:
    """Text longer than its field; names the length and the maximum (400)."""
    return ApiError(
        400,
        "Application_StringExceededLength",
        f"The length of the string is {len(value)}, but it must be less than or equal to {limit} characters. "
        f"Value: {value}",
    )


def filter_too_long(field: str, table: str, value: str, limit: int) -> ApiError:
    """A Code in a filter that its field cannot hold (400; names the field and the limit, wording not recorded)."""
    return ApiError(
        400,
        "Application_FilterErrorException",
        f"The filter '{value}' is not valid for the {field} field on the {table} table. The length of the string is "
        f"{len(value)}, but it must be less than or equal to {limit} characters.",
    )


def uri_too_long() -> ApiError:
    """A URL beyond what the service takes (414, seen live above some 8,099 characters)."""
    return ApiError(414, "BadRequest", "The request URI is too long.")


def overflow() -> ApiError:
    """A number that AL's Decimal cannot hold (400)."""
    return dialog("The result of the operation is too large for a Decimal.")


def duplicate(table: str, key: str) -> ApiError:
    """The primary key is taken (400 in the recorded answer)."""
    return ApiError(
        400,
        "Internal_EntityWithSameKeyExists",
        f"The record in table {table} already exists. Identification fields and values: {key}",
    )


def relation(field: str, table: str, value: Any, related: str) -> ApiError:
    """A code that the related table does not hold (400, recorded text)."""
    return ApiError(
        400,
        "Internal_InvalidTableRelation",
        f"The field {field} of table {table} contains a value ({value}) that cannot be found in the related table "
        f"({related}).",
    )


def etag_missing() -> ApiError:
    """PATCH without a usable If-Match (400)."""
    return ApiError(
        400,
        "BadRequest_InvalidToken",
        "Could not validate the client concurrency token required by the service. "
        "Please provide a valid token in the client request.",
    )


def entity_changed(status: int = 409) -> ApiError:
    """The record changed since the ETag was read (409; some versions answer 412)."""
    return ApiError(status, "Request_EntityChanged", "Another user has already changed the record.")


def invalid_credentials(reason: str = "rejected") -> ApiError:
    """No, expired, foreign or powerless token (401). `reason` is for the emulator's log, never for the answer."""
    error = ApiError(401, "Authentication_InvalidCredentials", "The server has rejected the client credentials.")
    error.add_note(reason)
    return error


def too_many_requests() -> ApiError:
    """The caller went past a limit of the service (429; code as printed in a public textbook)."""
    return ApiError(429, "Application_TooManyRequests", "Too many requests reached. Actual (101). Maximum (100).")


def server_error(message: str = "An internal error occurred.") -> ApiError:
    """The unspecific failure (500)."""
    return ApiError(500, "Internal_ServerError", message)
