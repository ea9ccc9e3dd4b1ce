"""The report of the model, as the service answers it."""

from pathlib import Path

from apps import DEFAULTS, client_of, make_model, make_test_app
from bundles import TICKETS

REPORT = "<!doctype html><head><style>p { color: red; }</style></head><p>0.9 accuracy</p>"


def test_the_report_is_answered_with_a_style_that_the_policy_allows(bundles: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(REPORT)
    with client_of(make_test_app(make_model(TICKETS, bundles / "tickets"), report=report)) as client:
        answer = client.get("/report")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "0.9 accuracy" in answer.text
        assert "<style" not in answer.text
        assert 'href="report.css"' in answer.text
        assert client.get("/report.css").text == "p { color: red; }"
        assert client.post("/report").status_code == 405


def test_a_bento_without_a_report_says_how_to_get_one(tickets) -> None:
    answer = tickets.get("/report")
    assert answer.status_code == 404
    assert "make repro" in answer.json()["detail"]


def test_the_report_needs_a_key_as_the_documentation_does(bundles: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(REPORT)
    settings = DEFAULTS._replace(keys=(b"secret",))
    with client_of(make_test_app(make_model(TICKETS, bundles / "tickets"), settings, report)) as client:
        assert client.get("/report").status_code == client.get("/docs").status_code == 401
        assert client.get("/report", headers={"X-API-Key": "secret"}).status_code == 200
