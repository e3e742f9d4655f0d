#!/usr/bin/env python3
"""Walks the call graph that gcc writes (-fcallgraph-info=su) for the agent's objects.

  callgraph.py world DIR signal|hook LISTS    functions of a world call their own world or one above it
  callgraph.py interposed DIR LISTS           nobody calls an exported name directly
  callgraph.py stack DIR ROOT LIMIT LISTS     worst stack use from ROOT, bytes

LISTS is the folder of signal.allow, hook.allow, plain.list and exports.list. A line of an allow file is a name, the stack
in bytes the function may use (0: none to speak of), and a comment that says why it may be called. FILE>* allows the calls
through pointers in that file; FILE may be a pattern. Exit status 1: a rule is broken, with one line for each; 2: the check itself cannot be done,
which is never taken for success.
"""
import fnmatch
import pathlib
import re
import sys

NODE = re.compile(r'node: \{ title: "([^"]+)" label: "((?:[^"\\]|\\.)*)"(.*)\}')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"(?: label: "([^"]*)")?')
STACK = re.compile(r'\\n(\d+) bytes \(([^)]*)\)')
INDIRECT = "__indirect_call"


def trouble(text):
    print(f"callgraph: {text}", file=sys.stderr)
    sys.exit(2)


class Function:
    def __init__(self, title, source, stack, kind):
        self.title = title
        self.name = title.rsplit(":", 1)[-1]
        self.source = source
        self.stack = stack
        self.kind = kind
        self.calls = []  # (target title or FILE>* for a call through a pointer, place)
        self.world = None

    def promise(self, exports, plain):
        """Sets the world that the name or the file promises; None for plain."""
        stem = pathlib.PurePath(self.source).stem
        in_hooks = stem.startswith("hooks_") or stem.endswith("_hook")
        if self.name in plain:
            self.world = None
        elif self.name.endswith("_sig") or stem.endswith("_sig") or self.source.startswith("common/"):
            self.world = "signal"
        elif self.name.endswith("_hook") or in_hooks or self.name in exports:
            self.world = "hook"


def load(directory, lists):
    functions = {}
    edges = []
    files = sorted(pathlib.Path(directory).rglob("*.ci"))
    if not files:
        trouble(f"{directory}: no .ci file")
    for path in files:
        text = path.read_text()
        unit = re.search(r'graph: \{ title: "([^"]+)"', text).group(1)
        if not pathlib.Path(unit).exists():
            continue  # left from a source that is gone
        for title, label, rest in NODE.findall(text):
            size = STACK.search(label)
            if "ellipse" in rest or not size:
                continue  # an external; defined elsewhere or nowhere
            where = label.split("\\n")[1] if "\\n" in label else unit
            title = title.lstrip("*")  # a name set by asm("...")
            functions[title] = Function(title, where.split(":")[0], int(size.group(1)), size.group(2))
        edges += EDGE.findall(text)
    for source, target, place in edges:
        source, target = source.lstrip("*"), target.lstrip("*")
        if source in functions:
            target = place.split(":")[0] + ">*" if target == INDIRECT else target
            functions[source].calls.append((target, place))
    exports, plain = allowed(lists, "exports.list"), allowed(lists, "plain.list")
    for function in functions.values():
        function.promise(exports, plain)
    return functions


def allowed(lists, *names):
    table = {}
    for name in names:
        for line in (pathlib.Path(lists) / name).read_text().splitlines():
            fields = line.split("#")[0].split()
            if fields:
                table[fields[0]] = int(fields[1]) if len(fields) > 1 and name.endswith(".allow") else 0
    return table


def figure(table, target):
    """The stack figure of an allowed name, None when it is not allowed."""
    if target in table or not target.endswith(">*"):
        return table.get(target)
    return next((table[p] for p in table if p.endswith(">*") and fnmatch.fnmatch(target, p.replace(">*", ">[*]"))), None)


def check_world(functions, world, lists):
    above = {"signal": ("signal",), "hook": ("signal", "hook")}[world]
    table = allowed(lists, *{"signal": ["signal.allow"], "hook": ["signal.allow", "hook.allow"]}[world])
    members = [f for f in functions.values() if f.world == world]
    if not members:
        trouble(f"no function of the {world} world")
    bad = set()
    for function in members:
        seen = set()
        todo = [function]
        while todo:
            f = todo.pop()
            for target, place in f.calls:
                callee = functions.get(target)
                if target in seen or figure(table, target) is not None:
                    continue
                seen.add(target)
                if callee is None:
                    bad.add(f"{place or f.source}: {f.name} calls {target}")
                elif callee.world in above or ":" in target:
                    todo.append(callee)  # a static helper of a plain file takes the world of its caller
                else:
                    bad.add(f"{place}: {f.name} ({world}) calls {callee.name}, which is {callee.world or 'plain'}")
    return report(bad, f"{len(members)} functions of the {world} world")


def check_interposed(functions, lists):
    exports = allowed(lists, "exports.list")
    bad = {f"{place}: {f.name} calls {target}" for f in functions.values() for target, place in f.calls if target in exports}
    return report(bad, f"{len(functions)} functions, {len(exports)} names")


def deepest(functions, title, table, path):
    """(bytes, chain) of the worst chain below and with title."""
    if title in path:
        trouble("recursion: " + " -> ".join(path + [title]))
    size = figure(table, title)
    if size is not None:
        return size, [(title, size)]
    function = functions.get(title)
    if function is None:
        trouble(f"{path[-1] if path else title} calls {title}: no stack figure in signal.allow")
    if "dynamic" in function.kind and "bounded" not in function.kind:
        trouble(f"{title}: its frame has no bound")
    worst = (0, [])
    for target, _ in function.calls:
        worst = max(worst, deepest(functions, target, table, path + [title]), key=lambda w: w[0])
    # the call pushes a return address; gcc's figure has the one into this function
    return worst[0] + function.stack, [(function.name, function.stack)] + worst[1]


def check_stack(functions, root, limit, lists):
    if root not in functions:
        trouble(f"{root}: not in the call graph")
    total, chain = deepest(functions, root, allowed(lists, "signal.allow"), [])
    print(f"{total} of {limit} bytes: " + " -> ".join(f"{name} {size}" for name, size in chain))
    return 0 if total <= limit else 1


def report(bad, what):
    for line in sorted(bad):
        print(line, file=sys.stderr)
    print(f"{what} looked at, {len(bad)} calls not allowed")
    return 1 if bad else 0


def main(argv):
    if len(argv) == 5 and argv[1] == "world":
        return check_world(load(argv[2], argv[4]), argv[3], argv[4])
    if len(argv) == 4 and argv[1] == "interposed":
        return check_interposed(load(argv[2], argv[3]), argv[3])
    if len(argv) == 6 and argv[1] == "stack":
        return check_stack(load(argv[2], argv[5]), argv[3], int(argv[4]), argv[5])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
