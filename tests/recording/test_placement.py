"""No folder of thousands, and what lies somewhere is found there."""

import threading

from losslab.recording import locate, place


def test_a_few_lie_side_by_side(tmp_path):
    names = [f"mse-lr={i}" for i in range(10)]
    place(tmp_path, names, room=10)
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_many_are_spread_and_found(tmp_path):
    first = [f"mse-lr={i}" for i in range(500)]
    place(tmp_path, first)
    names = [f"mse-lr={i}" for i in range(5000)]
    place(tmp_path, names)
    for folder in (tmp_path, *tmp_path.glob("hash=*")):
        assert sum(1 for _ in folder.iterdir()) < 1000
    assert all(locate(tmp_path, name).parent == tmp_path for name in first)
    assert all(locate(tmp_path, name).is_dir() for name in names)
    before = sorted(tmp_path.rglob("mse*"))
    assert len(before) == 5000
    place(tmp_path, names[::7])
    assert sorted(tmp_path.rglob("mse*")) == before


def test_several_at_once_agree(tmp_path):
    names = [f"group-{i}" for i in range(60)]
    threads = [
        threading.Thread(target=place, args=(tmp_path, names[i : i + 30]), kwargs={"room": 40})
        for i in (0, 10, 20, 30)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.rglob("group-*"))) == len(names)


def test_seeds_are_made_by_their_runs_unless_they_are_spread(tmp_path):
    place(tmp_path / "few", ["seed=0"], only_spread=True)
    assert list(tmp_path.glob("few/*")) == []
    place(tmp_path / "many", [f"seed={i}" for i in range(5)], only_spread=True, room=4)
    assert len(list(tmp_path.glob("many/hash=*/seed=*"))) == 5
