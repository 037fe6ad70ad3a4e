"""A graph as parts in series and in parallel: nothing lost, nothing twice, and paths still know their way."""

from hypothesis import given, settings

from accounting.hand_made import all_paths, graph_of, graphs, is_layer
from onebit.accounting.blocks import block_paths
from onebit.accounting.flow import Link, Mesh, Parallel, Series, entry, flow, layers_of, steps_of


def links(part):
    if isinstance(part, Link):
        return [part]
    inner = [p for *_, p in part.parts] if isinstance(part, Mesh) else part.parts
    return [link for child in inner for link in links(child)]


@settings(max_examples=150)
@given(graphs())
def test_every_path_takes_exactly_the_links_of_its_layers(graph):
    whole = flow(graph)
    paths = all_paths(graph)
    alive = {i for path in paths for i in path if is_layer(graph, i)}
    assert sorted(layer.index for layer in layers_of(whole.part)) == sorted(alive)
    for path in paths:
        taken = [
            link.layer.index for link in links(whole.part) if link.layer is not None and link.steps & steps_of(path)
        ]
        assert sorted(taken) == [i for i in path if is_layer(graph, i)]
        assert entry(whole.part) & steps_of(path)


def shape(part):
    """The part in short: c a binary layer, r a real one, - neither; (series), [parallel]."""
    if isinstance(part, Link):
        return "c" if part.layer is not None else "r" if part.real else "-"
    inner = [shape(child) for child in part.parts]
    if isinstance(part, Series):
        signs = [joint.kind for joint in part.joints]
        return (
            "("
            + inner[0]
            + "".join(f" {sign} {text}".replace("  ", " ") for sign, text in zip(signs, inner[1:], strict=True))
            + ")"
        )
    assert isinstance(part, Parallel)
    return "[" + " | ".join(inner) + "]"


def test_blocks_are_parts_in_series_and_in_parallel():
    drawn = {
        "resnet": "[- | (c c)]",
        "bireal": "([- | c] add [- | c])",
        "ebireal": "[- | ([- | c] add [- | c] add -)]",
        "igp_resnet": "[([- | c] add -) | ([- | c] add [- | c] add -)]",
        "binary_densenet": "([- | c] concat [- | c])",
        "igp_densenet": "[- | ([c | (c [- | c] add -)] mean -)]",
    }
    for name, expected in drawn.items():
        graph = block_paths(name).graph
        assert graph is not None
        assert shape(flow(graph).part) == expected, name


def test_what_is_neither_is_a_mesh_between_the_nodes_that_all_pass():
    # a bridge: 1 and 2 read the input, 3 reads 1 and 2, 4 reads 2 and 3
    graph = graph_of([(0, ()), (7, (0,)), (8, (0,)), (0, (1, 2)), (9, (3,)), (0, (2, 4)), (5, (5,))])
    whole = flow(graph)
    assert isinstance(whole.part, Series)
    mesh, last = whole.part.parts
    assert isinstance(mesh, Mesh)
    assert {(start, end): shape(part) for start, end, part in mesh.parts} == {
        **{(0, 1): "c", (0, 2): "c", (1, 2): "-"},
        **{(1, 3): "-", (2, 3): "c"},
    }
    assert isinstance(last, Link)
    assert last.layer is graph.nodes[6]
