import pytest, os
from pathlib import Path
BAD = [l for l in Path("/tmp/tt/bad.txt").read_text().splitlines() if l.strip()]
def test_probe(losslab, capsys):
    out=[]
    for line in BAD:
        import shlex
        try:
            r = losslab.call(*shlex.split(line))
            out.append(f"{r.code} | {line}\n     {r.err.strip()[:400]!r} {r.out.strip()[:200]!r} {[str(p) for p in losslab.folder.rglob('*')][:3]}")
        except BaseException as e:
            out.append(f"EXC | {line}\n     {type(e).__name__} {str(e)[:300]}")
        import shutil
        for p in losslab.folder.iterdir(): shutil.rmtree(p) if p.is_dir() else p.unlink()
    Path("/tmp/tt/out.txt").write_text("\n".join(out))
