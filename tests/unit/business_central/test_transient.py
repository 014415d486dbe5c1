"""Which refusals of Business Central pass by themselves."""

import pytest

from shared.business_central.transient import is_transient, refusal_of
from shared.errors import BCConflict, BCDenied, BCNotFound, BCRejected, BCThrottled, BCUnavailable

KNOWN = {"salesOrder": frozenset({"salesOrderLines", "orderDate"}), "salesOrderLine": frozenset({"quantity"})}
DIALOG = "Application_DialogException"

PASSING = [
    (DIALOG, "The operation could not complete because a record in the Sales Header table was locked by another user."),
    (DIALOG, "The page was updated in a transaction done by another session. Try again later."),
    ("Unknown", "Your activity was deadlocked with another user who was modifying the Sales Line table."),
    (DIALOG, "We can't save: a record in table 'Sales Header' is updated in a transaction done by another session"),
    ("Unknown", "We cannot complete the operation. Please retry the activity."),
    ("Internal_TenantUnavailable", "The tenant is not available."),
    ("BadRequest", "Could not find a property named 'salesOrderLines' on type 'Microsoft.NAV.salesOrder'."),
    ("BadRequest", "The property 'quantity' does not exist on type 'Microsoft.NAV.salesOrderLine'. Make sure to only"),
    ("BadRequest", "Could not find a property named 'orderDate' on type 'Microsoft.NAV.salesInvoice'."),
    ("", "HTTP 400"),
]  # fmt: skip
FINAL = [
    (DIALOG, "The sell-to customer cannot be found."),
    ("BadRequest", "Could not find a property named 'shoeSize' on type 'Microsoft.NAV.salesOrder'."),
    ("BadRequest", "Could not find a property named 'quantity' on type 'Microsoft.NAV.salesOrder'."),
    ("BadRequest", "The property 'orderDate' does not exist on type 'Microsoft.NAV.salesOrderLine'. Make sure to only"),
    (DIALOG, "The Item does not exist. Identification fields and values: No.='DEADLOCK'"),
    (DIALOG, "The field No. of table Item contains a value (TRY AGAIN LATER) that cannot be found."),
    ("Application_FieldValidationException", "Blocked must be equal to 'No' in Item."),
    ("Internal_InvalidTableRelation", "The field Currency Code contains a value (XXX) that cannot be found."),
    ("Application_StringExceededLength", "The length of the string is 36, but it must be at most 35."),
    ("BadRequest", "The property 'orderDate' has a value that is no date."),
    ("Unknown", "'Invalid Type' is not an option."),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message"), PASSING)
def test_what_passes_by_itself_waits(code: str, message: str) -> None:
    """A lock, a lost update, a deadlock, a tenant under way, metadata lost for a moment, no code of BC."""
    assert is_transient(BCRejected(message, status=400, code=code), KNOWN)


@pytest.mark.parametrize(("code", "message"), FINAL)
def test_a_rule_of_business_central_is_final(code: str, message: str) -> None:
    """The same order would be refused again."""
    assert not is_transient(BCRejected(message, status=400, code=code), KNOWN)


@pytest.mark.parametrize(("code", "message"), FINAL)
def test_a_rule_told_in_english_is_surely_one(code: str, message: str) -> None:
    """So it is reported after one try."""
    assert refusal_of(BCRejected(message, status=400, code=code), KNOWN) == "final"


GERMAN_LOCK = (
    "Der Vorgang konnte nicht abgeschlossen werden, weil ein Datensatz in der Tabelle 'the Table' von einem anderen "
    "Benutzer gesperrt wurde. Wiederholen Sie die Aktivität."
)
FOREIGN = [
    (DIALOG, GERMAN_LOCK, "unclear"),
    (DIALOG, "L'enregistrement a été verrouillé par un autre utilisateur. Veuillez réessayer.", "unclear"),
    (DIALOG, "La transacción se ha cancelado. Vuelva a intentarlo más tarde.", "unclear"),
    (DIALOG, "De record is vergrendeld door een andere gebruiker. Probeer het later opnieuw.", "unclear"),
    (DIALOG, "Posten er låst af en anden bruger. Prøv igen senere.", "unclear"),
    ("Application_SomethingNew", "Bitte später noch einmal versuchen.", "unclear"),
    ("Unknown", "Bitte später noch einmal versuchen.", "unclear"),
    ("Internal_InvalidTableRelation", "Das Feld Währungscode enthält den Wert XXX.", "final"),
    ("Application_StringExceededLength", "La longueur de la chaîne est 36.", "final"),
    ("Application_FieldValidationException", "Gesperrt muss Nein sein.", "final"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message", "refusal"), FOREIGN)
def test_in_other_languages_only_the_code_tells(code: str, message: str, refusal: str) -> None:
    """What is not surely final may be a lock; English is asked for, and an app may know none."""
    assert refusal_of(BCRejected(message, status=400, code=code), KNOWN) == refusal


def test_the_status_decides_where_it_is_clear() -> None:
    """No environment, an unknown route: perhaps an upgrade. A record that is missing: no."""
    assert is_transient(BCNotFound("x", status=404, code="NoEnvironment"))
    assert is_transient(BCNotFound("x", status=404))
    assert not is_transient(BCNotFound("x", status=404, code="Internal_RecordNotFound"))
    assert is_transient(BCThrottled("x", status=429))
    assert is_transient(BCUnavailable("x"))
    assert is_transient(BCConflict("x", status=409, code="Request_EntityChanged"))
    assert not is_transient(BCDenied("x", status=403, code="Authorization_RequestDenied"))
