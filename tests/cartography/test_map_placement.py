"""Names: real text sizes, no two boxes touch, nothing leaves the frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diagnostics.cartography import fonts
from diagnostics.cartography.fonts import TextStyle
from diagnostics.cartography.placement import Box, Label, around_point, place, place_first

STYLE = TextStyle("Regular", 8.0, "#000000")
FRAME = Box(0, 0, 300, 200)
points = st.tuples(st.floats(0, 300), st.floats(0, 200))


@given(st.lists(st.tuples(st.sampled_from(["Metz", "Pont-à-Mousson", "Œting"]), points), max_size=25))
def test_placed_names_never_touch_nor_leave_the_frame(towns: list) -> None:
    taken = [Box(0, 0, 80, 30)]
    for name, (x, y) in towns:
        size = Label((name,), STYLE, ()).size
        placed = place(Label((name,), STYLE, around_point(x, y, size, 2)), FRAME, taken)
        if placed is not None:
            box = placed.box
            assert FRAME.left <= box.left
            assert box.right <= FRAME.right
            assert FRAME.bottom <= box.bottom
            assert box.top <= FRAME.top
            for other in taken:
                apart_across = box.right <= other.left or other.right <= box.left
                apart_upwards = box.top <= other.bottom or other.top <= box.bottom
                assert apart_across or apart_upwards
            taken.append(box)


def test_the_first_free_place_is_taken_and_a_crowded_name_is_left_out() -> None:
    label = Label(("Metz",), STYLE, ((100, 100), (200, 100)))
    assert place(label, FRAME, []).box.centre == (100, 100)
    assert place(label, FRAME, [Box(90, 90, 110, 110)]).box.centre == (200, 100)
    assert place(label, FRAME, [FRAME]) is None
    wider = Label(("Metz et toute sa région",), STYLE, ((100, 100),))
    assert place_first([wider, label], FRAME, [Box(120, 90, 130, 110)]).label is label


def test_measured_width_is_the_drawn_width() -> None:
    figure = Figure(figsize=(10, 2), dpi=200)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for words in ("Pont-à-Mousson", "CC de Seille et Grand Couronné", "1\u202f234,5\u202f%", "Œ’É—ï"):
        for weight in ("Regular", "It", "Semibold", "SemiboldIt"):
            style = TextStyle(weight, 9.0, "#000000")
            drawn = figure.text(0.1, 0.5, words, fontproperties=style.font).get_window_extent(renderer).width * 72 / 200
            assert abs(fonts.width(words, style) - drawn) < 1.2


def test_text_wraps_at_spaces_within_the_limit() -> None:
    text = "Trois communes sur quatre ont moins de quatre consultations par\u00a0habitant"
    lines = fonts.wrap(text, STYLE, 120)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(fonts.width(line, STYLE) <= 120 for line in lines)
    assert fonts.wrap("Anticonstitutionnellement", STYLE, 10) == ["Anticonstitutionnellement"]


def test_balanced_lines_are_even() -> None:
    lines = fonts.balanced("CC du Bassin de Pont-à-Mousson et de ses environs", STYLE, 2)
    assert len(lines) == 2
    widths = [fonts.width(line, STYLE) for line in lines]
    assert max(widths) < 0.65 * sum(widths)


WORDS = st.lists(
    st.sampled_from(["de", "Réserve", "population\u00a0:", "1\u202f234", "intercommunalités", "à"]),
    min_size=1,
    max_size=60,
)


@given(WORDS, st.floats(20, 400), st.sampled_from([5.0, 8.0, 16.0]))
def test_lines_are_those_of_a_word_after_another(words: list, limit: float, size: float) -> None:
    style = TextStyle("Regular", size, "#000000")
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if fonts.width(longer, style) <= limit:
            lines[-1] = longer
        else:
            lines.append(word)
    assert fonts.wrap(" ".join(words), style, limit) == lines
