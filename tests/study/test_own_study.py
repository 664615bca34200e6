"""A study of one's own, of a loss of one's own, beside the command: no change in losslab."""

from running import TINY, read

STUDY = """\
# Mine
_target_: losslab.study.Study
title: Is mine better?
question: Is it?
base: []
arms:
  cross_entropy: {label: cross-entropy, overrides: [loss=cross_entropy]}
  mine: {label: mine, overrides: [loss=mine]}
reference: cross_entropy
parameter: optimizer.lr
values: [0.01, 0.1]
select: val/accuracy
tune_seeds: [0]
confirm_seeds: [1, 2]
confirm_at: [own]
measures:
  lost:
    _target_: losslab.study.numbers.lost_classes
    needs: [cross_entropy, mine]
"""


def test_a_study_of_ones_own(losslab):
    (losslab.folder / "own_losses.py").write_text(
        "from losslab.losses import CrossEntropy\nclass Mine(CrossEntropy):\n    pass\n"
    )
    for name, text in {"loss/mine": "_target_: own_losses.Mine\n", "study/my_study": STUDY}.items():
        path = losslab.folder / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    result = losslab.call("study", "--config-dir", "my_conf", "my_study", *TINY)
    assert (result.code, result.err) == (0, "")
    root = losslab.folder / "outputs" / "my_study"
    accuracies = read(root / "results.json")["arms"]
    assert set(accuracies) == {"cross_entropy", "mine"}
    (table,) = read(root / "evidence.json")["measurements"]["lost"]["tables"]
    assert [row[0] for row in table["rows"]] == ["cross-entropy", "mine"]  # as its arms say
    command = read(losslab.runs("my_study")[0] / "manifest.json")["command"]
    assert f"--config-dir {losslab.folder / 'my_conf'} name=my_study" in command

    unknown = losslab.call("study", "my_study", *TINY)
    assert unknown.code == 2
    assert "my_study" in unknown.err
