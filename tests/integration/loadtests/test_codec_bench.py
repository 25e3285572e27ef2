"""The comparison of codecs runs, with every library that it promises, and would notice one that writes nonsense."""

import pytest

from loadtests import codec


@pytest.fixture(scope="module")
def compared() -> dict[str, dict[str, float]]:
    return codec.compare(rounds=1, slice_s=0.001)


def test_every_library_is_measured(compared: dict[str, dict[str, float]]) -> None:
    assert list(compared) == list(codec.LIBRARIES)
    for library, times in compared.items():
        missing = {"encode submit_sm_resp"} if library == "smpp34" else set()
        assert set(codec.OPERATIONS) - set(times) == missing, library
        assert all(us > 0 for us in times.values())


def test_the_figures_are_times_of_ours(compared: dict[str, dict[str, float]]) -> None:
    figures = codec.figures(compared)
    ours = compared[codec.OURS]["decode submit_sm"]
    assert figures["codec_decode_submit_sm_us"] == ours
    assert figures["codec_decode_submit_sm_smpplib_times"] == compared["smpplib"]["decode submit_sm"] / ours


def test_the_frames_say_what_they_should() -> None:
    written = codec.measure(codec.OURS, slice_s=0.001)["written"]
    assert {name.removeprefix("encode "): bytes.fromhex(octets) for name, octets in written.items()} == codec.FRAMES


def test_a_library_that_writes_something_else_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = codec.FRAMES["submit_sm"].replace(b"Your", b"Your"[::-1])
    found = {"us": {"encode submit_sm": 0.001}, "written": {"encode submit_sm": wrong.hex()}}
    monkeypatch.setattr(codec, "_in_its_own_process", lambda library, slice_s: found)
    with pytest.raises(ValueError, match="wrote another PDU: encode submit_sm"):
        codec.compare(rounds=1)


def test_what_is_not_installed_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def only_ours(library: str, slice_s: float) -> dict[str, object] | None:
        return {"us": dict.fromkeys(codec.OPERATIONS, 1.0), "written": {}} if library == codec.OURS else None

    monkeypatch.setattr(codec, "_in_its_own_process", only_ours)
    found = codec.compare(rounds=1)
    assert list(found) == [codec.OURS]
    codec.show(found)
    assert "smpp34 is not installed" in capsys.readouterr().out
