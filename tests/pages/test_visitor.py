"""A visitor's work is theirs: known by a cookie, found after a reload and a restart, and nobody else's on a public server."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import written
from streamlit.runtime import Runtime
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.testing.v1 import AppTest
from test_compare_page import GENTLE
from test_pages import (  # noqa: F401
    APP,
    LONG,
    PATIENCE,
    TINY,
    button,
    finish,
    go_to,
    has_button,
    healthy,
    link_of,
    nothing_left_running,
    press,
    press_run,
    rerun,
    run_methods,
    runs_of,
    start_methods,
    visit,
    wait_until,
    words,
)
from test_runs_page import QUICK, names, tick
from typer.testing import CliRunner

from imu_core import data
from imu_core.access import cookie as visitors
from imu_core.access import limits
from imu_core.access.cookie import COOKIE, VisitorCookie
from imu_core.access.rights import Rights
from imu_core.access.rules import is_public
from imu_core.cli import app as cli
from imu_core.cli import serve
from imu_core.errors import ConfigError
from imu_core.evaluation.measurement import run_logits
from imu_core.jobs import Job
from imu_core.records.run import Problem
from imu_core.store.restored import NO_MODEL, RestoredRun
from imu_core.store.runs import Store, save_run
from imu_core.unlearning.run import Run, unlearn
from pages.sections.attack import jobs as attack_jobs
from pages.session import housekeeping, keeper, session_runs, visitor
from pages.sidebar import warming

ROOT = Path(__file__).resolve().parents[2]
ME, YOU = visitors.name_of("0" * 32), visitors.name_of("1" * 32)


@pytest.fixture(autouse=True)
def fresh_server(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that nobody has visited, with a database of this test alone."""
    for variable in ("IMU_PUBLIC", "IMU_SHARE_RUNS", "IMU_MAX_JOBS", "IMU_MAX_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    restart()
    yield
    written()
    restart()


def restart() -> None:
    """Forget whatever the server has in memory about its visitors."""
    visitor.shelves().clear()


def window(page: str, name: str = ME, **query: Any) -> AppTest:
    """A new window of the visitor called `name`, opened at `page`: what a reload, a typed address and Back make."""
    return visit(page, name, **query)


def ran(methods: list[str] = ["ga", "npo"], name: str = ME, **query: Any) -> AppTest:  # noqa: B006
    """A window in which the visitor ran `methods` to their end."""
    at = window("unlearn", name, **{**QUICK, **query})
    at.pills(key="methods").set_value(methods)
    finish(press_run(rerun(at)))
    written()
    return at


def listed(at: AppTest) -> list[str]:
    """The runs in the table of the page Unlearn."""
    return [run for run in at.dataframe[0].value["Run"] if run not in ("Original", "Retrained")]


# The cookie.


def asked(
    cookie: str = "", accept: str = "text/html,*/*", scheme: str = "http", path: str = "/", status: int = 200, **more: str
) -> dict[str, str]:
    """The headers of the answer to one request."""
    headers = [(b"accept", accept.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in more.items())]
    headers += [(b"cookie", cookie.encode())] if cookie else []
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": headers}
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"cache-control", b"no-cache")]})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(VisitorCookie(app, path)(scope, None, send))
    return {key.decode(): value.decode() for key, value in sent[0]["headers"]}


def test_a_page_brings_an_id_that_no_script_reads_and_no_cache_keeps() -> None:
    one, two = asked(), asked()
    match = re.fullmatch(rf"{COOKIE}=([0-9a-f]{{32}}); Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", one["set-cookie"])
    assert match is not None
    assert one["set-cookie"] != two["set-cookie"]
    assert one["cache-control"] == "private, no-store"
    assert "; Secure" in asked(scheme="https")["set-cookie"]
    assert "; Secure" in asked(x_forwarded_proto="https")["set-cookie"]
    assert "; Path=/imu;" in asked(path="imu/")["set-cookie"]


def test_who_has_an_id_keeps_it_and_anything_else_is_replaced() -> None:
    own = visitors.new_id()
    assert asked(f"other=1; {COOKIE}={own}")["set-cookie"].startswith(f"{COOKIE}={own};")
    assert asked(f"{COOKIE}={own}", status=304)["set-cookie"].startswith(f"{COOKIE}={own};")
    for bad in ("", "1", "x" * 32, own + "0", own.upper() + "G", '"' + own, "a=b"):
        given = asked(f"{COOKIE}={bad}")["set-cookie"]
        assert not given.startswith(f"{COOKIE}={bad};")
    assert "set-cookie" not in asked(accept="image/png")
    assert "set-cookie" not in asked(status=404)


def test_the_id_is_not_found_from_the_name() -> None:
    own = visitors.new_id()
    assert len(own) == 32
    assert own not in visitors.name_of(own)
    assert visitors.name_of(own) != visitors.name_of(visitors.new_id())


def test_without_a_cookie_every_session_is_a_visitor_of_its_own() -> None:
    one, two = visit("unlearn", **QUICK), visit("unlearn", **QUICK)
    assert one.session_state["owner"] != two.session_state["owner"]


# Found again.


def test_a_reload_finds_the_runs_again_and_another_visitor_does_not() -> None:
    first = ran()
    again = window("unlearn", **QUICK)
    assert [item.job for item in runs_of(again)] == [item.job for item in runs_of(first)]
    assert listed(again) == ["GA", "NPO"]
    assert "Until you press Run" in words(window("unlearn", YOU, **QUICK))


@pytest.mark.slow(reason="a page waits for a job; real browsers do the same in the full run")
def test_a_job_goes_on_without_its_window_and_is_stopped_from_another(tiny: object) -> None:
    at = window("unlearn", **TINY, **LONG)
    at.pills(key="methods").set_value(["ga"])
    press_run(rerun(at))
    (job,) = visitor.queue().active(ME)
    visitor._closed((ME, "", True))
    assert not job._cancel.is_set(), "who is known by a cookie comes back"
    again = window("start", **TINY)
    assert any(b.label == "Stop" for b in again.sidebar.button)
    other = window("start", YOU, **TINY)
    assert not any(b.label == "Stop" for b in other.sidebar.button)
    page = window("unlearn", **TINY)
    assert runs_of(page)[0].job is job
    next(b for b in again.sidebar.button if b.label == "Stop").click()
    again.run()
    wait_until(lambda: job.finished, "the job ends")
    assert job.state == "cancelled"


def test_who_cannot_come_back_leaves_nothing_running(tiny: object) -> None:
    at = start_methods(["ga"], **TINY, **LONG)
    name = at.session_state["owner"]
    (job,) = visitor.queue().active(name)
    visitor._closed((name, "", False))
    wait_until(lambda: job.finished, "the job ends")
    assert job.state == "cancelled"


def test_after_a_restart_finished_runs_are_back_everywhere(tiny: object) -> None:
    first = ran(["ga", "npo"], measure="true")
    before, shown = {item.name: item for item in runs_of(first)}, first.dataframe[0].value
    restart()
    again = window("unlearn", **QUICK)
    items = runs_of(again)
    assert all(isinstance(item.run, RestoredRun) for item in items)
    assert again.dataframe[0].value.equals(shown), "the table says the same"
    assert "Until you press Run" not in words(again)
    for item in items:
        live = before[item.name]
        assert item.job.state == live.job.state
        assert item.measured == live.measured
        assert all(bool((a == b).all()) for a, b in zip(run_logits(item.run), run_logits(live.run), strict=True))
    assert [sentence for sentence in (m.value for m in again.markdown) if "No longer recognised" in sentence]
    attack = window("attack", **QUICK)
    assert "Finished examples" not in words(attack)
    assert not has_button(attack, "Measure the membership attacks too (about 20 seconds)"), "it was measured before"
    compare = window("compare", **QUICK, compare="Your runs")
    assert [run for run in compare.dataframe[0].value["Run"] if run in before] == ["GA", "NPO"]
    assert window("compare", **QUICK, compare="A against B", run_a="GA", run_b="NPO").session_state["run_b"] == "NPO"


@pytest.mark.usefixtures("person")
@pytest.mark.slow(reason="unlearns people; the same is shown on the other pages")
def test_after_a_restart_finished_runs_are_back_on_re_identify() -> None:
    query = {"dataset": "few", "forget": "identity:0005"}
    at = window("reidentify", **query)
    at.button_group(key="methods").set_value(["ga", "npo"])
    finish(press(rerun(at), "Run"))
    written()

    def told(name: str) -> tuple[Any, list[str], str]:
        """The table of models, whom one may look closer at, and what is said of the search."""
        page = window("reidentify", name, **query)
        closer = next(group for group in page.button_group if group.label == "Look closer at")
        verdict = next(block.value for block in page.markdown if "mAP of the" in block.value)
        return page.dataframe[0].value.round(3).to_dict(), sorted(closer.options), verdict

    before = told(ME)
    assert set(before[0]["Model"].values()) == {"Original", "GA", "NPO"}
    restart()
    assert told(ME) == before
    assert "a finished example" in words(window("reidentify", YOU, **query))


def test_a_restored_run_can_be_attacked_measured_named_and_removed(tiny: object, store: Store) -> None:
    ran(["ga"])
    restart()
    at = window("attack", **QUICK)
    press(at, "Measure the membership attacks too (about 20 seconds)")
    press(at, "Train fresh heads")
    wait_until(lambda: not visitor.queue().active(ME), "the attacks end")
    (item,) = runs_of(at)
    assert attack_jobs.jobs(item)[attack_jobs.PROBE].state == "done"
    written()
    assert store.get(item.stored).depth == "full"
    page = window("unlearn", **QUICK)
    page.text_input(key=f"name_{item.job.id}").set_value("Mine")
    rerun(page)
    written()
    assert store.get(item.stored).name == "Mine"
    press(page, "Remove this run")
    written()
    restart()
    assert "Until you press Run" in words(window("unlearn", **QUICK)), "what was taken off the list stays off it"
    assert names(window("runs")) == ["Mine"]


def test_what_is_deleted_renamed_and_brought_back_on_runs_is_so_on_unlearn(tiny: object, store: Store) -> None:
    at = ran()
    one, two = (item.stored for item in runs_of(at))
    runs = window("runs")
    assert names(runs) == ["NPO", "GA"]
    press(tick(runs, 1), "Delete")
    assert listed(window("unlearn", **QUICK)) == ["NPO"]
    press(runs, "Undo")
    assert sorted(listed(window("unlearn", **QUICK))) == ["GA", "NPO"]
    assert {run.id for run in store.search()} == {one, two}


def test_a_run_whose_model_was_not_kept_says_so_everywhere(lenet: Problem, store: Store) -> None:
    run = unlearn(lenet, GENTLE["ga"])
    for _ in run:
        pass
    store.seen_by(Rights(ME)).add(run.trajectory, name="Large")
    at = window("unlearn", **QUICK)
    assert listed(at) == ["Large"]
    assert "were not kept" in words(at)
    assert not any(d.label == "Model (safetensors)" for d in at.get("download_button"))
    attack = window("attack", **QUICK)
    assert "were not kept" in words(attack)
    assert "Finished examples" in words(attack)
    pair = window("compare", **QUICK, compare="A against B", run_a="Large", run_b="Large")
    assert NO_MODEL.split(",")[0] in " ".join(w.value for w in pair.warning).replace("\\", "")


def test_a_run_is_light_after_a_while_and_answers_the_same(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = runs_of(ran(["ga"], measure="true"))
    assert isinstance(item.run, Run)
    assert item.measuring
    assert item.is_measured
    assert {point.forget_losses for point in (*item.run.points, *item.job.items)} == {None}, "nothing of single samples is kept"
    before = run_logits(item.run), item.trajectory.to_dict(), item.measured, item.shown
    visitor.shelves().opened(ME, "window")
    now = time.monotonic()
    assert not visitor.shelves().tidy(now + visitor.SHORT_ABSENCE + 1), "the window is open"
    monkeypatch.setattr(visitor, "_is_connected", lambda window: False)  # a closed lid: Streamlit keeps the session for a while
    assert not visitor.shelves().tidy(now)
    assert visitor.shelves().tidy(now + 2 * visitor.SHORT_ABSENCE + 2)
    written()
    assert isinstance(item.run, RestoredRun)
    assert item.measuring is None, "its measurement held the run"
    after = run_logits(item.run), item.trajectory.to_dict(), item.measured, item.shown
    assert all(bool((a == b).all()) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:3] == after[1:3]
    shelf, going = visitor.shelves().of(ME), Job("going on", list)
    done = Job("done", list)
    done.run()
    shelf.things["page_work"] = {"done": done, "going": going}
    assert shelf.things["runs"] == [item]
    assert visitor.shelves().tidy(now + 3 * visitor.SHORT_ABSENCE)
    assert shelf.things["runs"] == [], "it is on record"
    assert shelf.things["page_work"] == {"going": going}
    assert not visitor.shelves().tidy(now + 4 * visitor.SHORT_ABSENCE), "once is enough"
    (again,) = runs_of(window("unlearn", **QUICK))
    assert (again.stored, again.name, again.measured) == (item.stored, item.name, item.measured)
    assert again.trajectory.to_dict() == before[1]


def test_a_run_with_an_attack_on_it_stays_and_forgets_what_it_answered(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = runs_of(ran(["ga"]))
    monkeypatch.setattr(visitor, "_is_connected", lambda window: False)
    attack = Job("an attack", list)
    attack.run()
    item.cache |= {"logits": "large", "found": "small", "attacks": {attack_jobs.PROBE: attack}}
    for minutes in (1, 2, 3):
        visitor.shelves().tidy(time.monotonic() + 60 * minutes + 1)
        written()
    assert isinstance(item.run, RestoredRun)
    assert set(item.cache) == {"found", "attacks"}
    assert runs_of(window("unlearn", **QUICK)) == [item]


def test_what_pages_open_with_is_computed_before_anybody_asks_until_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from imu_core.problems import problem

    stop, steps = threading.Event(), []

    def prepare() -> Iterator[tuple[float, str]]:
        for step in range(3):
            steps.append(step)
            if step == 1:
                stop.set()
            yield step / 3, "features"

    monkeypatch.setattr(problem, "prepare", prepare)
    monkeypatch.setattr(warming, "FIRST", 0.0)
    warming.warm(SimpleNamespace(is_empty=False), stop)
    assert steps == [0, 1]
    warming.warm(SimpleNamespace(is_empty=False), stop)
    assert steps == [0, 1], "a server that has ended computes nothing"


def test_a_server_without_its_model_starts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from imu_core.problems import problem

    monkeypatch.setattr(warming, "FIRST", 0.0)
    monkeypatch.setattr(problem, "prepare", lambda: problem.original(data.load("tiny"), "vgg19"))
    warming.warm(SimpleNamespace(is_empty=False), threading.Event())


def test_the_housekeeping_goes_on_where_something_cannot_be_put_away(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    stop, times = threading.Event(), []

    class Broken:
        is_empty = False

        def tidy(self, now: float) -> bool:
            times.append(now)
            if len(times) == 3:
                stop.set()
            raise ValueError("broken")

    monkeypatch.setattr(housekeeping, "TIDY", 0.01)
    monkeypatch.setattr(housekeeping.runtime, "settle", lambda: None)  # for good, of this process
    loop = asyncio.new_event_loop()
    housekeeping.keep_house(Broken(), stop, loop)
    loop.close()
    assert len(times) == 3
    assert caplog.text.count("ValueError: broken") == 3


def test_windows_whose_connection_was_lost_are_let_go_of_when_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        id = "gone"

    storage = MemorySessionStorage(ttl_seconds=100)
    manager = WebsocketSessionManager(storage, None, None, None)
    session = Session()
    seen = weakref.ref(session)
    storage.save(SessionInfo(None, session, 1))
    del session
    server = SimpleNamespace(_session_mgr=manager)
    monkeypatch.setattr(housekeeping, "Runtime", SimpleNamespace(exists=lambda: True, instance=lambda: server))
    housekeeping.forget_lost_windows()
    assert seen(), "it may come back"
    storage._cache._timer = lambda: time.monotonic() + 1000
    assert storage.list() == []
    assert seen(), "Streamlit holds it, though it can no longer come back"
    housekeeping.forget_lost_windows()
    assert seen() is None
    assert "self._session_mgr = " in inspect.getsource(Runtime.__init__), "the name by which it is found"


def test_of_many_runs_the_newest_are_whole(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_runs, "WHOLE", 1)
    at = ran(["ga", "npo"])
    at.pills(key="methods").set_value(["imu"])
    finish(press_run(rerun(at)))
    written()
    assert [type(item.run) for item in runs_of(at)] == [RestoredRun, Run, Run]


def test_shelves_are_bounded() -> None:
    shelves = visitor.Shelves()
    for number in range(visitor.MOST_SHELVES + 50):
        shelves.of(f"visitor {number}")
    assert len(shelves._shelves) <= visitor.MOST_SHELVES + 1
    here = shelves.of("here")
    shelves.opened("here", "window")
    here.seen -= 2 * visitor.LONGEST_ABSENCE
    gone = shelves.of("gone")
    gone.seen -= 2 * visitor.LONGEST_ABSENCE
    shelves.of("somebody")
    assert shelves.of("here") is here
    assert shelves.of("gone") is not gone


def test_a_database_that_cannot_be_read_takes_nothing_away(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(["ga"])
    path = tmp_path / "letter.sqlite"
    path.write_text("This is a letter, and a rather long one, so that nobody takes it for an empty file. " * 20)
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{path}")
    keeper.keeper().reopen()
    assert listed(window("unlearn", **QUICK)) == ["GA"]
    restart()
    assert "Until you press Run" in words(window("unlearn", **QUICK))


# Others' runs.


@pytest.fixture
def theirs(lenet: Problem, store: Store) -> str:
    """A run of another visitor on the problem that these tests show; its id."""
    run = unlearn(lenet, GENTLE["npo"])
    for _ in run:
        pass
    return save_run(store.seen_by(Rights(YOU)), run, {}, "Theirs", ["private"])


def test_on_a_private_server_everything_is_offered(theirs: str) -> None:
    assert names(window("runs")) == ["Theirs"]
    attack = window("attack", **QUICK)
    attack.selectbox(key="another_run").set_value(theirs)
    rerun(attack)
    assert attack.session_state["attacked"].startswith("Theirs")
    assert "Finished examples" not in words(attack)
    compare = window("compare", **QUICK, compare="Your runs")
    compare.selectbox(key="compare_add").set_value(theirs)
    rerun(compare)
    assert "Theirs" in list(compare.dataframe[0].value["Run"])
    assert compare.query_params["runs"] in (theirs, [theirs])
    press(compare, "Leave out the added runs")
    assert "Theirs" not in list(compare.dataframe[0].value["Run"])
    assert "Until you press Run" in words(window("unlearn", **QUICK)), "the list of Unlearn is one's own"


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_the_link_of_attack_opens_the_same_run_for_somebody_else(theirs: str) -> None:
    ran(["ga"])
    attack = window("attack", **QUICK)
    (item,) = runs_of(attack)
    query = parse_qs(urlsplit(link_of(attack)).query)
    assert (query["run"], "attacked" in query) == ([item.stored], False)
    there = window("attack", YOU, **{name: words[-1] for name, words in query.items()})
    assert there.session_state["attacked"] == f"GA ({item.stored[:4]})"
    assert not [m.value for m in there.main.markdown if m.value.startswith("- **")]
    here = window("attack", **{**QUICK, "run": item.stored[:8]})
    assert here.session_state["attacked"] == "GA", "one's own is no other run"
    for wrong in ("f" * 32, "zebra", "no"):
        said = words(window("attack", YOU, **{**QUICK, "run": wrong})).replace("\\", "")
        assert f"**run={wrong}** cannot be had" in said
        assert "Taken instead: Theirs." in said


def test_on_a_public_server_no_page_and_no_link_shows_anothers_run(
    theirs: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMU_PUBLIC", "1")
    pages = [
        window("runs"),
        window("runs", run=theirs),
        window("runs", search="npo"),  # a page repeats what a link asks in vain, so nothing secret is asked for
        window("compare", **QUICK, compare="Your runs", runs=theirs),
        window("attack", **QUICK, attacked="NPO"),
        window("attack", **QUICK, run=theirs),
        window("unlearn", **QUICK),
    ]
    for at in pages:
        said = words(at) + " ".join(w.value for w in at.warning) + " ".join(str(t.value) for t in at.dataframe)
        assert "Theirs" not in said
        assert "private" not in said
    assert not any(box.key in ("another_run", "compare_add") for at in pages for box in at.selectbox)
    assert "There is no stored run" in " ".join(w.value for w in pages[1].warning)
    assert "There is no run" in " ".join(w.value for w in pages[3].warning)
    assert names(window("runs", YOU)) == ["Theirs"]


def test_the_owner_may_show_runs_to_all_and_still_nobody_changes_anothers(
    theirs: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMU_PUBLIC", "1")
    monkeypatch.setenv("IMU_SHARE_RUNS", "1")
    at = window("runs")
    assert names(at) == ["Theirs"]
    press(tick(at, 0), "Delete")
    assert "not yours" in " ".join(w.value for w in at.warning)
    assert store.get(theirs).deleted is None
    monkeypatch.setenv("IMU_PUBLIC", "0")
    monkeypatch.setenv("IMU_SHARE_RUNS", "0")
    assert "Nothing is stored yet" in words(window("runs"))


def test_pages_reach_the_database_through_the_view_alone() -> None:
    """One door: nobody has to remember, page by page, whose runs may be seen."""
    for file in (ROOT / "pages").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        called = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
        assert not called & {"store", "Store"} or file.name == "keeper.py", file.name


# Limits.


def test_too_many_jobs_at_once_are_refused_with_the_limit(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_MAX_JOBS", "3")
    at = window("unlearn", **TINY)
    at.pills(key="methods").set_value(["ga", "npo"])
    press(rerun(at), "Run")
    said = " ".join(w.value for w in at.main.warning)
    assert "3 jobs at once" in said
    assert not visitor.queue().active(ME)
    at.toggle(key="measure").set_value(False)
    finish(press_run(rerun(at)))
    assert listed(at) == ["GA", "NPO"]


def test_a_run_that_is_too_many_for_the_database_is_said(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_MAX_RUNS", "1")
    at = ran()
    assert listed(at) == ["GA", "NPO"], "the run itself is not lost"
    warned = " ".join(w.value for w in window("runs").warning)
    assert "1 run" in warned.replace("\\", "")


# The command.


def test_imu_app_serves_the_pages_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(serve.os, "execv", lambda _, command: started.append(command))
    monkeypatch.setenv("IMU_PUBLIC", "")
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(cli, ["app", "--port", "8123", "--base-path", "/imu/deep/", "--public"])
    assert run.exit_code == 0, run.output
    (command,) = started
    assert command[3:5] == ["run", str(ROOT / "app.py")]
    assert command[5:] == ["--server.address", "127.0.0.1", "--server.port", "8123", "--server.baseUrlPath", "imu/deep"]
    assert is_public()


@pytest.mark.parametrize(
    ("given", "variable", "words"),
    [
        (["--base-path", "a/../b"], "", "base path"),
        (["--base-path", "a b"], "", "base path"),
        ([], "many", "IMU_MAX_JOBS is 'many'"),
    ],
)
def test_imu_app_says_what_it_cannot_take(given: list[str], variable: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.os, "execv", lambda *_: pytest.fail("it was started"))
    monkeypatch.setenv("IMU_MAX_JOBS", variable)
    run = CliRunner().invoke(cli, ["app", *given])
    assert run.exit_code == 2
    assert words in run.output


def test_limits_are_smaller_where_everybody_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    private = [limit.value for limit in limits.ALL]
    monkeypatch.setenv("IMU_PUBLIC", "1")
    assert all(limit.value < before for limit, before in zip(limits.ALL, private, strict=True))
    for bad in ("0", "-1", "1.5", "1e9", "٣", "9" * 50):
        monkeypatch.setenv("IMU_MAX_RUNS", bad)
        with pytest.raises(ConfigError, match="IMU_MAX_RUNS"):
            limits.check()


def test_no_link_in_a_text_begins_at_the_root_of_the_host() -> None:
    """Behind a proxy the pages live below a path, and such a link leads out of it."""
    files = [*(ROOT / "pages").rglob("*.py"), *(ROOT / "imu_core").rglob("*.py")]
    assert [file.name for file in files if "](/" in file.read_text()] == []
