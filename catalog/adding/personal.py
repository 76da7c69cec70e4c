"""A guess at which columns hold personal data, by their names and by what their values look like.

It is a guess: it is written into the proposed contract for a person to review, and knows English names of columns.
"""

from __future__ import annotations

from catalog.personal import EMAIL, IPV4, IPV6

PATTERNS = {
    "e-mail addresses": rf"\s*{EMAIL}\s*",
    "IP addresses": rf"\s*(?:{IPV4}|{IPV6})\s*",
    "telephone numbers": r"\s*(\+\d{1,3}[ .-]?)(\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}\s*",
    "social security numbers": r"\s*\d{3}-\d{2}-\d{4}\s*",
    "bank accounts": r"\s*[A-Z]{2}\d{2}[A-Z0-9]{11,30}\s*",
}
"""What whole values look like, as regular expressions, by the kind of personal data. The last three are not those of
`catalog.personal`: digits that a column holds alone say more than the same digits within a text."""
SHARE = 0.5
"""Share of the values of a column that look like personal data, from which on the column holds it."""
WITHIN = 0.01
"""Share of texts with an e-mail address among other words, from which on the column is tagged."""

NAMES: tuple[tuple[str, frozenset[str]], ...] = (
    ("e-mail addresses", frozenset(("email", "e_mail", "mail", "email_address"))),
    ("telephone numbers", frozenset(("phone", "telephone", "mobile", "fax", "phone_number", "tel"))),
    (
        "names of persons",
        frozenset(
            "first_name last_name full_name surname given_name family_name middle_name author authors username "
            "user_name customer_name person reviewer employee patient student contact".split()
        ),
    ),
    ("addresses", frozenset(("address", "street", "postcode", "zip_code", "zip", "home_address", "street_address"))),
    ("dates of birth", frozenset(("birth_date", "date_of_birth", "birthday", "dob", "birthdate"))),
    ("IP addresses", frozenset(("ip", "ip_address", "client_ip", "remote_addr"))),
    ("identity numbers", frozenset(("ssn", "passport", "national_id", "tax_id", "social_security_number"))),
    ("bank accounts", frozenset(("iban", "account_number", "credit_card", "card_number"))),
    ("what identifies a person", frozenset(("user_id", "customer_id", "patient_id", "employee_id", "device_id"))),
)
"""Names of columns that say what they hold."""


def by_name(column: str) -> str | None:
    """The kind of personal data that the name of a column promises; None if it promises none."""
    return next((kind for kind, names in NAMES if column in names or column.rstrip("s") in names), None)
