import json
from collections.abc import Iterator

import pytest

from meshwise.analytics.control_api import ControlApi, RefusedError
from meshwise.contracts.errors import MeshwiseError, UnavailableError
from meshwise.contracts.policy import DEFAULT_POLICY
from support.processes import free_port
from support.receiver import Answer, Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def control(receiver: Receiver) -> Iterator[ControlApi]:
    api = ControlApi(receiver.url, token="t0ken", timeout_s=2.0)
    yield api
    api.close()


def document(content: object, status: int = 200) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(content).encode()


class TestControlApi:
    def test_policies_are_parsed(self, receiver: Receiver, control: ControlApi) -> None:
        """Policies in force come back parsed; a document from the future is left out."""
        entries = [{"policy": DEFAULT_POLICY.to_document()}, {"policy": {"match": {"planet": "mars"}}}, {}, 3]
        receiver.answer = lambda _: document({"policies": entries})
        assert control.policies() == (DEFAULT_POLICY,)
        (request,) = receiver.requests
        assert request.headers["authorization"] == "Bearer t0ken"
        assert request.headers["x-meshwise-actor"] == "analytics"

    def test_policies_of_the_past(self, receiver: Receiver, control: ControlApi) -> None:
        """Policies come back as they were at a version; one that is no longer on record is named."""
        old = DEFAULT_POLICY.to_document() | {"name": "ab", "version": 3, "reason": "then"}
        removed = {"version": 4, "policy": None}
        receiver.answer = lambda _: document({"versions": [removed, {"version": 3, "policy": old}]})
        (found,) = control.policies_at({"ab": 3})
        assert (found.version, found.reason) == (3, "then")
        assert receiver.requests[0].path == "/v1/policies/ab/versions?limit=1000"
        for version in (2, 4):
            with pytest.raises(MeshwiseError, match=f"version {version} of policy ab is no longer on record"):
                control.policies_at({"ab": version})

    def test_a_rollout_is_submitted_whole(self, receiver: Receiver, control: ControlApi) -> None:
        """A submission carries policy, reason, evidence and the proposal's id."""
        receiver.answer = lambda _: document({"id": "r1"}, 201)
        assert control.submit({"name": "p"}, reason="why", evidence={"n": 1}, proposal_id="p1") == {"id": "r1"}
        (request,) = receiver.requests
        assert (request.method, request.path) == ("POST", "/v1/rollouts")
        assert json.loads(request.body) == {
            "policy": {"name": "p"},
            "reason": "why",
            "evidence": {"n": 1},
            "proposal_id": "p1",
            "mode": "automatic",
        }

    def test_an_id_cannot_leave_its_path(self, receiver: Receiver, control: ControlApi) -> None:
        """A rollout's id is one segment of the path, whatever is in it."""
        receiver.answer = lambda _: document({})
        control.tell_verdict("../x?y", stage=0, decision="hold", reason="", evidence={})
        assert receiver.requests[0].path == "/v1/rollouts/..%2Fx%3Fy/verdicts"

    def test_a_refusal_says_why(self, receiver: Receiver, control: ControlApi) -> None:
        """A 409 is an error that names control's reason."""
        receiver.answer = lambda _: document({"error": {"path": "stage", "problem": "is over"}}, 409)
        with pytest.raises(RefusedError, match="stage: is over") as caught:
            control.tell_verdict("r", stage=0, decision="hold", reason="", evidence={})
        assert caught.value.status == 409

    @pytest.mark.parametrize("answer", [(500, {}, b""), (200, {}, b"<html>"), (200, {}, b"[1]"), (302, {}, b"")])
    def test_nonsense_is_unavailability(self, receiver: Receiver, control: ControlApi, answer: Answer) -> None:
        """A server error or an answer that is no document counts as control being away, or refusing."""
        receiver.answer = lambda _: answer
        with pytest.raises((UnavailableError, RefusedError)):
            control.rollouts()

    def test_nobody_there_is_unavailability(self) -> None:
        """A control that is not running is one plain error."""
        api = ControlApi(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(UnavailableError, match="control does not answer"):
            api.rollouts()
        api.close()
