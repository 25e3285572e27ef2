"""The registry's end of the folder: reads what the hub drops, and answers that it is done."""

import csv
import hashlib
import time
from pathlib import Path

drop = Path("drop")
print("reading", drop, flush=True)
while True:
    for digest in sorted(drop.glob("*.csv.sha256")):
        file = digest.with_suffix("")
        answer = file.with_suffix(".ack.csv")
        if answer.exists():
            continue
        octets = file.read_bytes()
        if hashlib.sha256(octets).hexdigest() != digest.read_text().split()[0]:
            raise SystemExit(f"{file} is not what was dropped")
        rows = csv.DictReader(octets.decode().splitlines())
        half = drop / ".answer"
        with half.open("w", newline="") as out:
            csv.writer(out).writerow(["number", "status"])
            csv.writer(out).writerows(
                (row["number"], "active" if row["action"] == "publish" else "withdrawn") for row in rows
            )
        half.rename(answer)
    time.sleep(0.2)
