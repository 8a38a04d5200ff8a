"""What stands on leap.identities is read back as it was written; anything else is refused in words that quote nothing."""

from datetime import date

import pytest

from schemas.identities import Claim, IdentityError, Terms, encode, read

CLAIM = Claim("zoom", 0x0123456789ABCDEF, date(2026, 10, 5), "s/1 é")
KEY = CLAIM.key()
VALUE = b'{"version":1,"claimed":1790000000}'


def test_a_claim_is_read_back_as_it_was_written() -> None:
    assert "zoom/0123456789abcdef/2026-10-05/s/1 é".encode() == KEY
    for claim in (CLAIM, CLAIM._replace(first=None), CLAIM._replace(hash=0), CLAIM._replace(hash=2**64 - 1)):
        for terms in (Terms(1, 1_790_000_000), Terms(1, 0, date(2027, 1, 31))):
            assert read(claim.key(), encode(terms)) == (claim, terms)
        assert read(claim.key(), None) == (claim, None)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        (None, VALUE, "key"),
        (b"", VALUE, "key"),
        (b"\xff/0123456789abcdef//s1", VALUE, "key"),
        (b"zoom/0123456789abcdef/2026-10-05", VALUE, "key"),
        (b"zo om/0123456789abcdef//SECRET", VALUE, "key"),
        (b"zoom/0123456789ABCDEF//SECRET", VALUE, "key"),
        (b"zoom/0123456789abcde//SECRET", VALUE, "key"),
        (b"zoom/0123456789abcdef/SECRET/s1", VALUE, "key"),
        (b"zoom/0123456789abcdef/20261005/SECRET", VALUE, "key"),
        (b"zoom/0123456789abcdef/1989-12-31/SECRET", VALUE, "from"),
        (b"zoom/0123456789abcdef//", VALUE, "student"),
        (b"zoom/0123456789abcdef//SECRET\n", VALUE, "student"),
        (KEY, b"", "not a record"),
        (KEY, b"[]", ""),
        (KEY, b'{"version":1}', "claimed"),
        (KEY, b'{"version":1,"claimed":-1}', "claimed"),
        (KEY, b'{"version":2,"claimed":1}', "version"),
        (KEY, b'{"version":1,"claimed":1,"to":"SECRET"}', "to"),
        (KEY, b'{"version":1,"claimed":1,"to":"2026-10-04"}', "to"),
        (KEY, b'{"version":1,"claimed":1,"to":"2100-01-01"}', "to"),
        (KEY, b'{"version":1,"claimed":1,"x":"' + b"x" * 2000 + b'"}', "value of"),
    ],
)
def test_what_is_no_claim_is_refused_with_its_place(key: bytes | None, value: bytes, place: str) -> None:
    with pytest.raises(IdentityError) as error:
        read(key, value)

    assert place in str(error.value)
    assert "SECRET" not in str(error.value)
    assert "s/1" not in str(error.value)
