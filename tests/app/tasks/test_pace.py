from __future__ import annotations

import pytest

from app.tasks.pace import Pace, PaceBook

PAST = {"load": 1.0, "windows": 8.0, "measure": 1.0}


def test_forecast_equals_the_past_where_nothing_has_changed():
    pace = Pace(PAST)
    assert pace.update("load", 0.0, 0.0) == (0.0, pytest.approx(10.0))
    pace.update("load", 1.0, 1.0)
    assert pace.update("windows", 0.5, 4.0) == (pytest.approx(0.5), pytest.approx(5.0))


def test_slower_windows_than_last_time_lengthen_the_forecast():
    pace = Pace(PAST)
    pace.update("load", 1.0, 1.0)
    _, remaining_s = pace.update("windows", 0.5, 8.0)
    assert 5.0 < remaining_s < 11.0


def test_nearly_finished_windows_are_forecast_by_their_own_pace():
    pace = Pace({"windows": 1.0})
    _, remaining_s = pace.update("windows", 0.95, 95.0)
    assert remaining_s == pytest.approx(0.0, abs=0.3 * 95)
    assert pace.update("windows", 1.0, 100.0)[1] == pytest.approx(0.0)


def test_first_analysis_is_not_forecast_before_it_has_shown_its_speed():
    pace = Pace({})
    assert pace.update("load", 0.0, 0.0) == (0.0, None)
    assert pace.update("load", 1.0, 0.6)[1] is None
    assert pace.update("localise", 0.1, 0.4)[1] is None
    # Three times as slow as usual.
    pace.update("localise", 1.0, 4.5)
    pace.update("prepare", 1.0, 0.6)
    fraction, remaining_s = pace.update("infer", 0.5, 4.5)
    assert remaining_s == pytest.approx(4.5 + 3.6)
    assert fraction == pytest.approx(10.2 / 18.3)


def test_a_system_that_was_loaded_before_does_not_make_the_rest_look_fast():
    pace = Pace({})
    pace.update("load", 1.0, 0.01)
    fraction, _ = pace.update("localise", 0.5, 0.75)
    assert fraction < 0.2


def test_stage_that_nobody_expected_does_not_fill_the_bar():
    fraction, _ = Pace({}).update("surprise", 1.0, 1.0)
    assert fraction < 0.2


def test_fraction_of_the_whole_never_falls():
    pace = Pace({"windows": 1.0, "measure": 50.0})
    fractions = [pace.update("windows", f / 10, f * 2.0)[0] for f in range(11)]
    fractions += [pace.update("measure", f / 10, f * 0.1)[0] for f in range(11)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


def test_stage_times_are_remembered_between_starts(tmp_path):
    path = tmp_path / "cache" / "stage_times.json"
    assert PaceBook(path).expected_s("starter", "cpu") == {}
    PaceBook(path).remember("starter", "cpu", PAST)
    assert PaceBook(path).expected_s("starter", "cpu") == PAST
    assert PaceBook(path).expected_s("starter", "cuda:0") == {}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 3}', '{"a": {"b": null}}'])
def test_damaged_memory_is_forgotten(tmp_path, text):
    path = tmp_path / "stage_times.json"
    path.write_text(text)
    assert PaceBook(path).expected_s("a", "cpu") == {}


def test_analysis_goes_on_where_nothing_can_be_kept(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    PaceBook(blocked / "stage_times.json").remember("starter", "cpu", PAST)
    assert "not kept" in caplog.text


def test_going_back_to_an_earlier_stage_adds_what_is_repeated():
    pace = Pace(PAST)
    pace.update("load", 1.0, 1.0)
    pace.update("windows", 1.0, 8.0)
    _, before_s = pace.update("measure", 0.0, 0.0)
    fraction, after_s = pace.update("windows", 0.0, 0.0)
    assert before_s == pytest.approx(1.0)
    assert after_s == pytest.approx(9.0)
    assert fraction == pytest.approx(0.9)
    pace.update("windows", 1.0, 8.0)
    pace.update("measure", 1.0, 1.0)
    assert pace.seconds == PAST
