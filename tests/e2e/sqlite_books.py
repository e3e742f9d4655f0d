"""What the module sqlite3 does, with books: sqlite_books.py DATABASE writes books.json. The module is loaded late, into a
scope of its own; what it says on its own (begin, commit) is in the books."""
import json
import sys
import threading
import time

import sqlite3

lock = threading.Lock()
books = {}


def book(form, errors, rows, began):
    ms = (time.monotonic() - began) * 1e3
    with lock:
        row = books.setdefault(form, {"form": form, "count": 0, "errors": 0, "rows": 0, "total_ms": 0.0, "max_ms": 0.0})
        row["count"] += 1
        row["errors"] += errors
        row["rows"] += rows
        row["total_ms"] += ms
        row["max_ms"] = max(row["max_ms"], ms)


def run(db, sql, form, *args):
    began, rows, errors = time.monotonic(), 0, 0
    try:
        rows = len(db.execute(sql, *args).fetchall())
    except sqlite3.Error:
        errors = 1
    book(form, errors, rows, began)


def work(file):
    db = sqlite3.connect(file, isolation_level=None)
    run(db, "create table things(id integer primary key, name)", "create table things(id integer primary key, name)")
    run(db, "begin", "begin")
    for i in range(200):
        run(db, "insert into things values(?, ?)", "insert into things values (?, ?)", (i if i % 20 else 1, "x"))
    run(db, "commit", "commit")
    for i in range(50):
        run(db, f"select * from things where id={i}", "select * from things where id = ?")
    run(db, "selekt", "selekt")
    for i in range(5):
        run(db, "select * from things a, things b", "select * from things a, things b")
    db.close()


def main():
    threads = [threading.Thread(target=work, args=(":memory:",)) for _ in range(3)]
    work(sys.argv[1])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in books.values():
        # threads wait for each other outside of the library
        row["total_ms"] = row["max_ms"] = None
    with open("books.json", "w") as out:
        json.dump(list(books.values()), out)


main()
