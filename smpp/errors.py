"""What can go wrong in SMPP, as values: each error carries what its handler needs to answer.

One root, ``SmppError``. No message here ever holds a message body or a password: errors end up in logs.
"""

from __future__ import annotations


class SmppError(Exception):
    """The root of all errors of this package."""


class EncodeError(SmppError):
    """A PDU of ours holds a value that the standard does not allow.

    Attributes:
        field: the field's name in the standard, or ``"tlv 0x1400"``.
        problem: what is wrong with it, without the value of a text.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class UnparsablePDU(SmppError):
    """A frame of sound length whose contents cannot be read. It costs only itself: answer it and go on.

    Attributes:
        command_status: what to answer with.
        command_id: of the frame; unknown when the status is ESME_RINVCMDID (answer with generic_nack).
        sequence_number: of the frame, to be echoed.
        problem: words for the log.
    """

    def __init__(self, command_status: int, command_id: int, sequence_number: int, problem: str = "") -> None:
        super().__init__(
            f"status 0x{command_status:08x} for command 0x{command_id:08x}, sequence {sequence_number}: {problem}"
        )
        self.command_status = command_status
        self.command_id = command_id
        self.sequence_number = sequence_number
        self.problem = problem


class BadFrame(SmppError):
    """A command_length that makes no sense: framing is lost, the connection cannot go on.

    Attributes:
        command_length: the senseless value.
        word: what the bytes look like (``"http"``, ``"tls"``, ``"ssh"``, ``"xml"``), or empty.
        frames: the sound frames that came before it in the same buffer.
        consumed: octets that those frames took.
    """

    def __init__(
        self, command_length: int, word: str = "", frames: list[bytes] | None = None, consumed: int = 0
    ) -> None:
        super().__init__(f"command_length {command_length} (0x{command_length:08x}){', ' if word else ''}{word}")
        self.command_length = command_length
        self.word = word
        self.frames: list[bytes] = [] if frames is None else frames
        self.consumed = consumed


class BadTime(SmppError):
    """A time that is in none of the formats of SMPP 3.4 §7.1.1, or cannot be written in one.

    Attributes:
        text: what was given.
    """

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"{text!r}: {problem}")
        self.text = text
        self.problem = problem


class BadTLV(SmppError):
    """A TLV whose value its definition does not allow.

    Attributes:
        name: the TLV's name in the standard.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


class LocalProtocolError(SmppError):
    """We were asked to do what the standard forbids in this state. A mistake of the caller; nothing was sent."""


class RemoteProtocolError(SmppError):
    """The peer broke the protocol so that the session cannot go on.

    Attributes:
        reply_status: the command_status to answer with before closing, or None to close without a word.
        clause: the rule that was broken, e.g. ``"SMPP 3.4 §2.2"``.
    """

    def __init__(self, problem: str, reply_status: int | None = None, clause: str = "") -> None:
        super().__init__(f"{problem}{f' ({clause})' if clause else ''}")
        self.problem = problem
        self.reply_status = reply_status
        self.clause = clause
