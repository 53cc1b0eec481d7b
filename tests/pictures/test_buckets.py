import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.errors import UserError
from tunesmith.pictures.buckets import enlarged, keeps, nearest, shapes

sizes = st.tuples(st.integers(1, 16), st.sampled_from([8, 16, 32, 64])).map(lambda pair: (pair[0] * pair[1], pair[1]))
edges = st.integers(1, 20_000)


@given(sizes)
def test_shapes_have_about_one_area_and_edges_that_can_be_halved(size: tuple[int, int]) -> None:
    edge, multiple = size
    made = shapes(edge, multiple)
    assert (edge, edge) in made
    assert len(set(made)) == len(made)
    for height, width in made:
        assert height % multiple == width % multiple == 0
        assert height * width <= edge * edge
        assert edge <= max(height, width) <= 2 * edge and (width, height) in made
        # one step more on the shorter side would be over the area
        assert (min(height, width) + multiple) * max(height, width) > edge * edge


@given(sizes, edges, edges)
def test_a_picture_gets_the_shape_that_keeps_most_of_it(size: tuple[int, int], height: int, width: int) -> None:
    made = shapes(*size)
    chosen = nearest(height, width, made)
    assert chosen in made
    assert keeps(height, width, chosen) >= max(keeps(height, width, shape) for shape in made) - 1e-6
    assert 0 < keeps(height, width, chosen) <= 1
    assert nearest(width, height, made) == chosen[::-1]


@given(sizes, edges)
def test_a_square_gets_the_square(size: tuple[int, int], edge: int) -> None:
    assert nearest(edge, edge, shapes(*size)) == (size[0], size[0])


def test_the_shapes_of_stable_diffusion() -> None:
    made = shapes(512, 64)
    assert {(512, 512), (448, 576), (384, 640), (320, 768), (256, 1024)} <= set(made)
    assert enlarged(256, 256, (512, 512)) == 2 and enlarged(1024, 512, (512, 512)) == 1


def test_between_two_shapes_the_squarer_is_taken_upright_and_on_its_side() -> None:
    assert nearest(6, 12, shapes(96, 8)) == (72, 128) and nearest(12, 6, shapes(96, 8)) == (128, 72)


def test_an_edge_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.size: 100 must be a multiple of 64 for this base; near are 64 and 128"):
        shapes(100, 64)
