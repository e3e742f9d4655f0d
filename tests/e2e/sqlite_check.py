"""A report's queries against the books of the program: sqlite_check.py REPORT.json BOOKS.json [PEER]

Counts, errors and rows are equal. The program reads its clock outside of where the library's time is taken: no time in
the report is longer than in the books by more than the larger of 1 ms and 5 % a query, and of queries that take 100 ms
and more at least half is there, however crowded the machine. What is not in the books must not be in the report."""
import json
import sys


def letters(text):
    return "".join(text.lower().split())


def main():
    report, books = (json.load(open(name)) for name in sys.argv[1:3])
    found = {}
    for query in report["database"]["queries"]:
        if query["protocol"] == "sqlite" and (len(sys.argv) < 4 or query["peer"] == sys.argv[3]):
            key = letters(query["fingerprint"])
            for name in ("count", "errors", "rows", "total_ms", "max_ms"):
                found.setdefault(key, {}).setdefault(name, 0)
                found[key][name] = max(found[key][name], query[name]) if name == "max_ms" else found[key][name] + query[name]
    bad = 0
    for book in books:
        query = found.pop(letters(book["form"]), None)
        if query is None:
            print("not reported:", book)
            bad += 1
            continue
        for name in ("count", "errors", "rows"):
            if query[name] != book[name]:
                print(f"{book['form']}: {name} {query[name]}, in the books {book[name]}")
                bad += 1
        for name, times in (("total_ms", book["count"]), ("max_ms", 1)):
            if book[name] is None:
                continue
            most = book[name] + max(1.0 * times, 0.05 * book[name])
            least = book[name] / 2 if book[name] >= 100 * times else 0
            if not least <= query[name] <= most:
                print(f"{book['form']}: {name} {query[name]}, in the books {book[name]}")
                bad += 1
    for form in found:
        print("not in the books:", form, found[form])
        bad += 1
    if not books:
        print("empty books")
        bad += 1
    sys.exit(bad != 0)


main()
