"""The published known answer of golang.org/x/mod/sumdb/note, byte for byte, and the examples of the C2SP documents."""

from __future__ import annotations

import pytest

from backend.audit.notes import (
    Checkpoint,
    NoteInvalid,
    NoteMalformed,
    SigningKey,
    VerifierKey,
    parse_note,
    verify_note,
)

VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJ"
    "nAM=\n"
)
NOTE = f"{TEXT}\n{LINE}"
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9"
    "nTo+zyWE+xeMcTOAYQ8=\n"
    "\N{EM DASH} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ"
    "qhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def test_signing_gives_the_published_note() -> None:
    key = SigningKey.parse(SIGNER)
    assert str(key.verifier) == VERIFIER
    assert key.secret() == SIGNER
    assert f"{TEXT}\n{key.sign(TEXT)}" == NOTE


def test_the_published_note_verifies() -> None:
    text, signed = verify_note(NOTE, [VerifierKey.parse(VERIFIER)])
    assert text == TEXT
    assert [(one.key.name, one.at) for one in signed] == [("PeterNeumann", None)]


@pytest.mark.parametrize("position", range(len(TEXT)))
def test_no_altered_text_verifies(position: int) -> None:
    altered = NOTE[:position] + chr(ord(NOTE[position]) ^ 1) + NOTE[position + 1 :]
    with pytest.raises((NoteInvalid, NoteMalformed)):
        verify_note(altered, [VerifierKey.parse(VERIFIER)])


def test_every_mangled_verifier_key_is_refused() -> None:
    """The table of the reference implementation: every part of the key, and every changed character."""
    for start in range(len(VERIFIER)):
        for end in range(start, len(VERIFIER) + 1):
            if (start, end) != (0, len(VERIFIER)):
                with pytest.raises(NoteMalformed):
                    VerifierKey.parse(VERIFIER[start:end])
    for position, char in enumerate(VERIFIER):
        with pytest.raises(NoteMalformed):
            VerifierKey.parse(VERIFIER[:position] + chr(ord(char) + 1) + VERIFIER[position + 1 :])
    for bad in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(NoteMalformed):
            VerifierKey.parse(bad)


@pytest.mark.parametrize(
    "note",
    [
        NOTE[:-1], NOTE.replace("\N{EM DASH}", "-"), TEXT, f"{TEXT}\n", LINE, f"{TEXT}{LINE}",
        NOTE.replace("PeterNeumann ", "PeterNeumann  "), NOTE.replace("nAM=", "nAM"), NOTE.replace("\n\n", "\n\r\n"),
        f"{TEXT}\n{LINE * 101}", f"{TEXT}\n\N{EM DASH} PeterNeumann AAAA\n",
    ],
)  # fmt: skip
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(NoteMalformed):
        verify_note(note, [VerifierKey.parse(VERIFIER)])


def test_signatures_of_unknown_keys_are_ignored_and_are_no_proof() -> None:
    other = SigningKey.generate("EnochRoot")
    both = NOTE + other.sign(TEXT)
    assert len(verify_note(both, [VerifierKey.parse(VERIFIER)])[1]) == 1
    assert len(verify_note(both, [VerifierKey.parse(VERIFIER), other.verifier])[1]) == 2
    with pytest.raises(NoteInvalid, match="no known key"):
        verify_note(NOTE, [other.verifier])


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    other = SigningKey.generate("EnochRoot")
    with pytest.raises(NoteInvalid, match="does not fit"):
        verify_note(NOTE + other.sign("something else\n"), [VerifierKey.parse(VERIFIER), other.verifier])


def test_the_example_of_the_documents_is_read() -> None:
    text, lines = parse_note(COSIGNED)
    head = Checkpoint.parse(text)
    assert (head.origin, head.size, head.text) == ("example.com/behind-the-sofa", 20852163, text)
    assert [line.key_id.hex() for line in lines] == ["033de0ae", "8d66cf3f"]
    assert int.from_bytes(lines[1].signature[:8], "big") == 1679315147
    assert len(lines[1].signature) == 72
