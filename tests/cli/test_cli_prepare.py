"""`brainmvp prepare` goes through a cohort and names what it cannot use."""


def test_bad_files_are_lines_and_the_rest_is_prepared(brainmvp, write_study, tmp_path):
    root = tmp_path / "cohort"
    write_study("a", "t1 flair", root)
    write_study("b", "t2", root)
    (root / "b" / "b_t2.nii.gz").write_bytes(b"no image")
    assert brainmvp("index", root).exit_code == 0
    result = brainmvp("prepare", root / "index.json", "--workers", "1", "--spacing", "2")
    assert result.exit_code == 2
    assert "2 studies" in result.stdout and "1 problem(s)" in result.stdout
    assert result.stderr.count("Error:") == 1 and "b_t2.nii.gz cannot be read" in result.stderr
    assert len(list((root / "index.cache").rglob("*.b2nd"))) == 2


def test_no_scheduler_at_an_address_is_one_sentence(brainmvp, write_study, tmp_path):
    write_study("a", "t1", tmp_path / "cohort")
    brainmvp("index", tmp_path / "cohort")
    for address in ("tcp://127.0.0.1:9", "node01.invalid"):
        result = brainmvp("prepare", tmp_path / "cohort" / "index.json", "--cluster", address)
        assert result.exit_code == 2 and f"No Dask scheduler answers at {address}; start" in result.stderr
