import multiprocessing
from pathlib import Path

import pytest

from pipelines.runs.store import Folder, etag
from schemas.problems import Problem


def _race(url: str, word: bytes, results: "multiprocessing.Queue[bool]") -> None:
    results.put(Folder(url).create("receipt.json", word * 50_000))


def test_create_lets_exactly_one_of_several_processes_win(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[bool] = context.Queue()
    words = [b"a", b"b", b"c", b"d"]
    racers = [context.Process(target=_race, args=(str(tmp_path), w, results)) for w in words]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(results.get() for _ in racers) == [False, False, False, True]
    data = (tmp_path / "receipt.json").read_bytes()
    assert len(data) == 50_000
    assert len(set(data)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["receipt.json"]


def test_names_leaves_out_unfinished_and_hidden_files(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    assert folder.names() == []
    folder.create("b", b"")
    folder.create("a", b"")
    (tmp_path / ".a.unfinished").write_bytes(b"")
    assert folder.names() == ["a", "b"]
    assert (folder / "missing").names() == []


def test_a_file_system_in_memory_behaves_as_the_disk_does(tmp_path: Path) -> None:
    for folder in (Folder(str(tmp_path)), Folder("memory://store-test")):
        assert folder.create("x/one", b"1")
        assert not folder.create("x/one", b"2")
        assert folder.read("x/one") == b"1"
        folder.replace("x/one", b"3")
        assert folder.read("x/one") == b"3"
        finished = tmp_path / "finished"
        finished.write_bytes(b"4")
        folder.publish(finished, "x/two")
        assert not finished.exists()
        assert (folder / "x").names() == ["one", "two"]
        with folder.open("x/two") as stream:
            assert stream.read() == b"4"
        assert [name for name, _ in folder.glob("x/*")] == ["x/one", "x/two"]


def test_glob_descends_from_the_root_itself(tmp_path: Path) -> None:
    for name in ("a.warc.gz", "deep/er/b.warc.gz", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [name for name, _ in Folder(str(tmp_path)).glob("**/*.warc*")]
    assert found == ["a.warc.gz", "deep/er/b.warc.gz"]


def test_make_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Problem, match=r"file/run: cannot be written to"):
        Folder(str(tmp_path / "file" / "run")).make()


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(Problem, match="nosuch://x"):
        Folder("nosuch://x").read("y")


def test_etag_is_shared_by_a_copy_and_not_by_a_changed_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data)
    (tmp_path / "c").write_bytes(data[:-1] + b"!")
    folder = Folder(str(tmp_path))
    tags = [etag(folder, name, folder.info(name)) for name in "abc"]
    assert tags[0] == tags[1] != tags[2]
