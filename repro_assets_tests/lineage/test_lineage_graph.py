from __future__ import annotations

import time

import pytest

from repro_assets.errors import InvalidValue, UnknownName
from repro_assets.lineage.graph import COUNTED, Edge, Graph
from repro_assets.lineage.numbered import components, groups, longest
from repro_assets.lineage.reading import lineage_of, read_graph


def graph_of(*pairs: str) -> Graph:
    return Graph({}, [Edge(*pair.split(">"), "input", "x") for pair in pairs])


def test_ancestors_and_descendants_are_at_their_distance(home, diamond):
    graph = read_graph(home)
    assert graph.ancestors(diamond["model"]) == {
        "run-model": 1,
        diamond["left"]: 2,
        diamond["right"]: 2,
        "run-left": 3,
        "run-right": 3,
        diamond["raw"]: 4,
    }
    assert graph.ancestors(diamond["model"], 2).keys() == {"run-model", diamond["left"], diamond["right"]}
    assert graph.descendants("run-model") == {diamond["model"]: 1, "run-scores": 2, diamond["scores"]: 3}
    assert graph.ancestors(diamond["raw"]) == {}
    with pytest.raises(UnknownName):
        graph.ancestors("nothing")
    with pytest.raises(InvalidValue):
        graph.descendants("run-model", -1)


def test_all_shortest_paths_are_found_in_the_direction_of_the_data(home, diamond):
    graph = read_graph(home)
    found = graph.paths(diamond["raw"], diamond["model"])
    assert sorted(way[1] for way in found.ways) == ["run-left", "run-right"]
    assert {(way[0], way[-1], len(way)) for way in found.ways} == {(diamond["raw"], diamond["model"], 5)}
    assert (found.steps, found.total, found.more) == (4, 2, False)
    one = graph.paths(diamond["raw"], diamond["model"], limit=1)
    assert (len(one.ways), one.total, one.more) == (1, 2, True)
    against = graph.paths(diamond["model"], diamond["raw"])
    assert (against.steps, against.ways, against.total) == (None, [], 0)
    assert graph.paths("run-left", "run-left").ways == [["run-left"]]
    with pytest.raises(InvalidValue):
        graph.paths("run-left", "run-right", 0)
    with pytest.raises(UnknownName):
        graph.paths("nothing", "run-left")


def test_longer_paths_are_not_listed_and_lie_between():
    graph = graph_of("a>b", "b>z", "a>c", "c>d", "d>z", "z>a", "a>side")
    found = graph.paths("a", "z")
    assert (found.ways, found.total) == ([["a", "b", "z"]], 1)
    assert set(graph.between("a", "z").nodes) == {"a", "b", "c", "d", "z"}
    assert graph.between("side", "a").nodes == {}


def test_more_paths_than_can_be_listed_are_counted():
    sides = [pair for n in range(60) for pair in (f"{n}>{n}l", f"{n}>{n}r", f"{n}l>{n + 1}", f"{n}r>{n + 1}")]
    graph = graph_of(*sides)
    assert graph.paths("0", "20").total == 2**20
    found = graph.paths("0", "60", limit=3)
    assert (len(found.ways), found.total, found.steps) == (3, COUNTED, 120)
    assert len({tuple(way) for way in found.ways}) == 3


def test_the_lowest_common_ancestors_are_those_from_which_no_other_came(home, diamond):
    graph = read_graph(home)
    found = graph.common_ancestors(diamond["left"], diamond["right"])
    assert [(item.key, item.to_first, item.to_second, item.lowest) for item in found] == [(diamond["raw"], 2, 2, True)]
    found = graph.common_ancestors(diamond["scores"], "run-left")
    assert [(item.key, item.lowest) for item in found] == [("run-left", True), (diamond["raw"], False)]
    two = graph_of("root>p", "root>q", "p>x", "q>x", "p>y", "q>y").common_ancestors("x", "y")
    assert [(item.key, item.lowest) for item in two] == [("p", True), ("q", True), ("root", False)]
    assert graph_of("a>b", "c>d").common_ancestors("b", "d") == []


def test_what_came_from_each_other_is_lowest_together():
    graph = graph_of("root>a", "a>b", "b>a", "a>x", "b>y")
    lowest = {item.key for item in graph.common_ancestors("x", "y") if item.lowest}
    assert lowest == {"a", "b"}


def test_lineage_of_a_name_in_one_direction_within_a_depth(home, diamond):
    key, graph = lineage_of(home, "model-run-model", downstream=False, depth=2)
    assert key == diamond["model"]
    assert graph.nodes.keys() == {key, "run-model", diamond["left"], diamond["right"]}
    key, graph = lineage_of(home, "run-left", upstream=False)
    assert key == "run-left"
    assert diamond["raw"] not in graph.nodes
    assert diamond["scores"] in graph.nodes


@pytest.mark.parametrize("name", ["no such thing", 'a "quoted"\nname 🧪', "sha256:12", ""])
def test_a_name_that_means_nothing_is_one_clear_error(home, diamond, name):
    with pytest.raises(UnknownName) as raised:
        lineage_of(home, name)
    assert "\n" not in raised.value.message
    assert raised.value.remedy


def test_groups_are_what_reaches_itself():
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (5, 5), (6, 7)]
    sources, targets = zip(*edges, strict=True)
    assert groups(8, sources, targets) == [[0, 1, 2], [5]]
    assert components(8, sources, targets) == 3
    # A cycle is one place: 012, 3, 4.
    assert longest(8, sources, targets) == 2
    assert (groups(0, [], []), longest(0, [], []), components(3, [], [])) == ([], 0, 3)


def test_a_chain_of_100000_nodes_is_walked():
    edges = []
    for number in range(50_000):
        edges.append(Edge(f"sha256:{number}", f"run-{number}", "input", "x"))
        edges.append(Edge(f"run-{number}", f"sha256:{number + 1}", "output", "x"))
    graph = Graph({}, edges)
    begin = time.perf_counter()
    assert len(graph.ancestors("sha256:50000")) == 100_000
    assert len(graph.descendants("sha256:0", 70_000)) == 70_000
    assert len(graph.paths("sha256:0", "sha256:50000").ways[0]) == 100_001
    assert len(graph.between("sha256:0", "sha256:50000").nodes) == 100_001
    assert graph.common_ancestors("sha256:50000", "sha256:49999")[0] == ("sha256:49999", 2, 0, True)
    steps = range(100_000)
    assert longest(100_001, steps, range(1, 100_001)) == 100_000
    assert components(100_001, steps, range(1, 100_001)) == 1
    assert time.perf_counter() - begin < 60
