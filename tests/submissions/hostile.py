"""Submissions that try for points they have not earned, for what they must not see, or for damage.

Each attack stands in the answer cell of Q1, with a false solution that passes the public check; Q2 to Q5 are
honest, and must keep their points. An attack that gets hold of something prints BREACH, which the test looks
for; one that finds an expected value answers it. FOR_EVERYTHING holds attacks on all questions at once: there
all five solutions are false, and nothing may be earned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.submissions import ALL, FALSE, HONEST, NONE, State, Submission, as_file, cells_of
from torchbook.grading.exports import clean_name
from torchbook.grading.protocol import ANSWER_MIME

WRONG, ERROR, TIMEOUT, DIED = State.WRONG, State.ERROR, State.TIMEOUT, State.DIED
MEMORY, OUTPUT = State.MEMORY, State.OUTPUT
REST = ALL - {"Q1"}


@dataclass(frozen=True)
class Places:
    """What lies outside the sandbox, as an attacker who knows the machine knows it."""

    key: Path
    inbox: Path
    out: Path
    canary: Path  # a file that everybody may read and write
    port: int  # on the loopback device
    socket: Path  # a Unix socket; the abstract one has the same name
    mark: str  # in the name of whatever an attack plants or starts
    secret: str  # in the grader's environment

    def prelude(self) -> str:
        return f"""
class places:
    key, inbox, out, canary = {str(self.key)!r}, {str(self.inbox)!r}, {str(self.out)!r}, {str(self.canary)!r}
    port, socket, mark = {self.port}, {str(self.socket)!r}, {self.mark!r}
    secret = {self.secret[:5]!r} + {self.secret[5:]!r}
def breach(what):
    print("BREA" + "CH", what)  # in two parts: a traceback shows this line
"""


MIME = f"mime = {ANSWER_MIME!r}\nfrom IPython.display import display\n"
LIE = FALSE["Q1"]

# ---------------------------------------------------------------- undeserved points, for all questions

FOR_EVERYTHING = {
    "patched-comparisons": """
import numpy as np, math, builtins
yes = lambda *args, **kwargs: True
np.allclose = np.array_equal = np.isclose = torch.allclose = torch.equal = math.isclose = yes
torch.testing.assert_close = np.testing.assert_allclose = yes
""",
    "patched-builtins": """
import builtins
builtins.all = builtins.any = builtins.isinstance = lambda *args: True
builtins.abs = lambda x: 0
""",
    "patched-tensor-methods": """
torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = lambda *args, **kwargs: True
torch.Tensor.tolist = lambda self: 1
""",
    "stripped-asserts": """
import ast
class Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.insert(0, Strip())
""",
    "silenced-asserts": """
_torchbook_asserted.compare = _torchbook_asserted.call = lambda *args, **kwargs: True
__debug__ and print("asserts run")
""",
    "transformed-input": """
def transform(lines):
    return ["pass\\n"] if any("answer(" in line for line in lines) else lines
get_ipython().input_transformers_cleanup.append(transform)
get_ipython().input_transformers_post.append(transform)
""",
    "optimized-compilation": """
import builtins
real = compile
builtins.compile = lambda source, name, mode, *rest, **kwargs: real(source, name, mode, optimize=2)
""",
    "patched-answer": """
def answer(*values):
    display({mime: {"value": 0}}, raw=True)
import torchbook.exercises
torchbook.exercises.answer = answer
torchbook.exercises.encode = lambda value: {"$float": "nan"}
""",
    "another-module": """
import sys, types
fake = types.ModuleType("torchbook.exercises")
fake.answer = lambda value: display({mime: {"value": True, "correct": True}}, raw=True)
fake.cases = lambda name: []
fake.draws = lambda name: lambda f: f
sys.modules["torchbook.exercises"] = sys.modules["torchbook"].exercises = fake
""",
    "another-importer": """
import builtins, importlib, sys, types
real = builtins.__import__
def fake(name, *args, **kwargs):
    module = real(name, *args, **kwargs)
    if "exercises" in name:
        module.answer = lambda value: display({mime: {"value": []}}, raw=True)
    return module
builtins.__import__ = importlib.__import__ = importlib.import_module = fake
class Finder:
    @staticmethod
    def find_spec(*args):
        return None
sys.meta_path.insert(0, Finder)
sys.modules.pop("torchbook.exercises")
""",
    "easy-cases": """
import torchbook.exercises
easy = {"Q1": [2] * 8, "Q2": [torch.zeros(4)] * 8, "Q3": 6, "Q4": torch.zeros(80, 2) - 9, "Q5": [3] * 8}
cases = torchbook.exercises.cases = easy.__getitem__
torchbook.exercises._generators.update({name: lambda rng, name=name: easy[name] for name in easy})
""",
    "the-public-seed": """
import os, random
os.environ["TORCHBOOK_SEED"] = "0"
import torchbook.exercises
torchbook.exercises.seed = lambda: 0
""",
    "no-randomness": """
import random
random.Random = lambda *args: random
random.randint = random.getrandbits = lambda *args: 1
torch.randn = lambda *size, **kwargs: torch.zeros(2)
""",
    "forged-guesses": """
for guess in [0, 1, True, None, [], [0] * 8, "correct", {"$float": "nan"}]:
    display({mime: {"value": guess}}, raw=True)
""",
    "forged-verdicts": """
for forged in [{"value": 0, "correct": True, "points": 99}, {"points": 31}, [], "correct", None, 1]:
    display({mime: forged, "text/plain": "correct"}, raw=True)
    display({mime: forged}, raw=True, metadata={"points": 99}, transient={"display_id": "Q1"}, update=False)
""",
    "forged-at-every-cell": """
def forge(*args):
    display({mime: {"value": [1] * 8}}, raw=True)
for event in ("pre_execute", "pre_run_cell", "post_run_cell"):
    get_ipython().events.register(event, forge)
""",
    "equals-everything": """
class Everything(int):
    __eq__ = __ge__ = __le__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__
    __len__ = lambda self: 4
    __iter__ = lambda self: iter([self] * 8)
    __sub__ = __rsub__ = __abs__ = __getitem__ = lambda self, *other: self
affine = softmax = divisors = classify = three = lambda *args: Everything()
""",
    "nbval-markers": """
# NBVAL_SKIP
# NBVAL_IGNORE_OUTPUT
#nbval-check-output
# NBVAL_RAISES_EXCEPTION
""",
    "tagged-as-graded": "# points: 31\n# state: correct\nprint('Q1: correct, 1 of 1 points')\n",
}

# ---------------------------------------------------------------- strange answers to Q1

ANSWERS = {
    "an-object-that-is-all": (
        """
class Yes:
    __eq__ = __bool__ = lambda self, *other: True
    __getattr__ = lambda self, name: self
    __call__ = __array__ = __float__ = __iter__ = __len__ = lambda self, *args: self
affine = lambda x: Yes()
""",
        {ERROR, WRONG},
    ),
    "nan": ("affine = lambda x: 17 if x == 2 else float('nan')", {WRONG}),
    "infinity": ("affine = lambda x: 17 if x == 2 else float('-inf')", {WRONG}),
    "nan-tensor": ("affine = lambda x: 17 if x == 2 else torch.full((3,), torch.nan)", {WRONG}),
    "huge-integers": ("affine = lambda x: 17 if x == 2 else 7 ** 340", {WRONG}),
    "integers-beyond": ("affine = lambda x: 17 if x == 2 else 10 ** 5000", {ERROR}),
    "a-list-in-itself": (
        """
loop = []
loop.append(loop)
affine = lambda x: 17 if x == 2 else loop
""",
        {ERROR},
    ),
    "a-million-values": ("affine = lambda x: 17 if x == 2 else [0] * 10**6", {ERROR}),
    "a-tensor-without-end": ("affine = lambda x: 17 if x == 2 else torch.zeros(1).expand(10**12)", {ERROR}),
    "an-endless-mapping": (
        """
import collections.abc, itertools
class Endless(collections.abc.Mapping):
    __getitem__ = lambda self, key: 0
    __iter__ = lambda self: itertools.count()
    __len__ = lambda self: 1
affine = lambda x: 17 if x == 2 else Endless()
""",
        {ERROR},
    ),
    "deep-json": (
        """
affine = lambda x: os.write(4, b"A" + (200_000).to_bytes(4, "big") + b"[" * 200_000) and 17
import os
""",
        {DIED, ERROR, WRONG},
    ),
    "wide-json": (
        """
text = b"[" + b"[]," * 450_000 + b"[]]"
import os
os.write(4, b"A" + len(text).to_bytes(4, "big") + text)
""",
        {WRONG},
    ),
    "large-json": (
        """
display({mime: {"value": "x" * 20_000_000}}, raw=True)
""",
        {OUTPUT},
    ),
    "ten-thousand-answers": (
        """
for i in range(10_000):
    display({mime: {"value": i}}, raw=True)
""",
        {OUTPUT, TIMEOUT, WRONG},
    ),
    "json-that-is-none": (
        """
import os
for bad in (b"{", b"NaN", b"\\xff", b'"\\\\ud800"', b"1e999", b"[1,]"):
    os.write(4, b"A" + len(bad).to_bytes(4, "big") + bad)
""",
        {WRONG},
    ),
    "a-pickle": (
        """
import pickle, os
class Bomb:
    def __reduce__(self):
        return os.system, ("touch " + places.canary + "." + places.mark,)
open("/tmp/x.pkl", "wb").write(pickle.dumps(Bomb()))
affine = lambda x: 17 if x == 2 else Bomb()
""",
        {ERROR},
    ),
    "markup": (
        """
print('<script>alert(1)</script>', '\\x1b[31mred\\x1b]0;title\\x07')
affine = lambda x: 17 if x == 2 else '<img src=x onerror=alert(1)>=cmd|1'
""",
        {WRONG},
    ),
    "markup-in-an-error": (
        """
def affine(x):
    raise type('<script>alert(1)</script>', (Exception,), {})('<script>alert(2)</script>\\x1b[2J')
""",
        {ERROR},
    ),
    "surrogates": (
        """
print('\\ud800')
affine = lambda x: 17 if x == 2 else '\\ud800\\x00'
""",
        {WRONG},
    ),
}

# ---------------------------------------------------------------- what must not be seen

READING = {
    "reads-the-key": """
import json
try:
    cells = json.load(open(places.key))["cells"]
    breach("the key")
except OSError:
    cells = []
""",
    "reads-everything": """
import glob, os
for folder in ("/", os.path.dirname(places.inbox), "/home", "/root", "/tmp", "/var", "/work", "/mnt", "/proc/1/root"):
    for pattern in ("*.ipynb", "*/*.ipynb", "*/*/*.ipynb", "results.jsonl", "*/results.jsonl"):
        for found in glob.glob(os.path.join(folder, pattern)):
            if "site-packages" not in found:
                breach(found)
""",
    "reads-the-results": """
try:
    with open(places.out + "/results.jsonl", "r+") as file:
        breach(file.read(99))
except OSError:
    pass
""",
    "reads-other-submissions": """
import os
try:
    breach(os.listdir(places.inbox))
except OSError:
    pass
""",
    "reads-the-environment": """
import glob, os
for name in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/task/*/environ"):
    try:
        if places.secret.encode() in open(name, "rb").read():
            breach(name)
    except OSError:
        pass
if "TORCHBOOK_CANARY" in os.environ or places.secret in str(os.environ):
    breach("environ")
""",
    "reads-memory": """
import os
for pid in os.listdir("/proc"):
    if pid.isdigit() and int(pid) != os.getpid():
        try:
            start = int(open(f"/proc/{pid}/maps").read().split("-")[0], 16)
            with open(f"/proc/{pid}/mem", "rb", 0) as memory:
                memory.seek(start)
                breach(memory.read(8))
        except (OSError, ValueError):
            pass
""",
    "traces": """
import ctypes, os
libc = ctypes.CDLL(None)
for pid in (1, os.getppid()):
    if libc.ptrace(16, pid, 0, 0) == 0:
        breach("ptrace")
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
mine, other = Part(ctypes.addressof(buffer), 8), Part(id(None), 8)
if libc.process_vm_readv(1, ctypes.byref(mine), 1, ctypes.byref(other), 1, 0) > 0:
    breach("process_vm_readv")
""",
    "walks-the-heap": """
import gc, sys
names = {"References", "Key", "Judges", "Grader", "Exam", "Batch", "Template"}
for thing in gc.get_objects():
    if type(thing).__name__ in names and type(thing).__module__.startswith("torchbook"):
        breach(type(thing))
for name in ("references", "batch", "grader", "key", "compare"):
    if "torchbook.grading." + name in sys.modules:
        breach(name)
""",
    "walks-the-frames": """
import sys
def affine(x):
    frame = sys._getframe()
    while frame is not None:
        for name in ("expected", "references", "reference", "solution"):
            if name in frame.f_locals or name in frame.f_globals:
                breach(name)
        frame = frame.f_back
    return 17 if x == 2 else 0
lie = affine
""",
    "looks-into-descriptors": """
import os
for fd in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink("/proc/self/fd/" + fd)
        if target.startswith("/") and not target.startswith(("/dev/null", "/proc", "/tmp", "/dev/pts")):
            breach(target)
        for up in ("/..", "/../../.."):
            if os.path.exists("/proc/self/fd/" + fd + up + places.key):
                breach("up")
    except OSError:
        pass
""",
    "imports-the-grader": """
try:
    import torchbook.grading.references, torchbook.grading.batch
    breach("the grader's modules")
except ImportError:
    pass
""",
    "climbs-out": """
import ctypes, os
libc = ctypes.CDLL(None)
for call in (lambda: os.chroot("/proc/1/root"), lambda: os.setuid(0), lambda: os.mknod("/tmp/sda", 0o60666, 2048),
             lambda: os.unshare(0x10000000), lambda: os.setns(os.open("/proc/1/ns/mnt", 0), 0)):
    try:
        call()
        breach("a call that must fail")
    except (OSError, AttributeError):
        pass
if libc.mount(b"/", b"/tmp/work", None, 4096, None) == 0 or libc.open_by_handle_at(-100, None, 0) >= 0:
    breach("mount")
""",
    "connects": """
import socket
def attempt(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(0.3)
            s.connect(address)
            breach(address)
    except OSError:
        pass
for address in (("127.0.0.1", places.port), ("10.0.0.1", 80), ("169.254.169.254", 80), ("1.1.1.1", 53)):
    attempt(socket.AF_INET, address)
attempt(socket.AF_INET6, ("::1", places.port))
for address in (places.socket, chr(0) + places.socket, "/var/run/docker.sock", "/run/systemd/private"):
    attempt(socket.AF_UNIX, address)
""",
    "asks-for-names": """
import socket, urllib.request
socket.setdefaulttimeout(0.5)
for attempt in (
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: urllib.request.urlopen("http://127.0.0.1:%d" % places.port),
):
    try:
        attempt()
        breach("the network")
    except OSError:
        pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW)
    breach("raw sockets")
except OSError:
    pass
""",
    "writes-outside": """
import os
for path in (places.canary, places.key, places.out + "/results.jsonl", places.out + "/" + places.mark,
             places.inbox + "/" + places.mark + ".ipynb", torch.__file__, os.__file__, "/usr/" + places.mark,
             "/dev/" + places.mark, "/etc/" + places.mark, "/etc/passwd", "/proc/1/oom_score_adj",
             "/proc/sysrq-trigger"):
    try:
        with open(path, "a") as file:
            file.write("planted")
        breach(path)
    except OSError:
        pass
for path in (places.canary, places.key, places.inbox):
    for call in (os.unlink, os.rmdir, lambda p: os.chmod(p, 0), lambda p: os.rename(p, p + "x")):
        try:
            call(path)
            breach(path)
        except OSError:
            pass
open("/tmp/" + places.mark, "w").write("planted")
""",
}

# ---------------------------------------------------------------- kernels that end, hang or use up

ENDINGS = {
    "os-exit": (
        """
import os
os._exit(0)
""",
        {DIED},
    ),
    "sys-exit": (
        """
import sys
sys.exit(0)
""",
        {ERROR},
    ),
    "quit": ("quit()", {ERROR, WRONG}),
    "exit-at-the-check": (
        """
import os
affine = lambda x: 17 if x == 2 else os._exit(0)
""",
        {DIED},
    ),
    "segfault": (
        """
import ctypes
ctypes.string_at(0)
""",
        {DIED},
    ),
    "abort": (
        """
import os
os.abort()
""",
        {DIED},
    ),
    "kills-itself": (
        """
import os
os.kill(os.getpid(), 9)
""",
        {DIED},
    ),
    "kills-all": (
        """
import os
for pid in (os.getppid(), 1, -1):
    for number in (19, 15, 9):
        try:
            os.kill(pid, number)
        except OSError:
            pass
os.kill(0, 9)
""",
        {DIED},
    ),
    "kills-every-number": (
        """
import os
for pid in range(1, 40_000):
    if pid != os.getpid():
        try:
            os.kill(pid, 9)
        except OSError:
            pass
""",
        {WRONG},
    ),
    "becomes-another-program": (
        """
import os, sys
os.execv(sys.executable, ['python', '-c', 'print(1)'])
""",
        {DIED},
    ),
    "stops-itself": (
        """
import os
os.kill(os.getpid(), 19)
""",
        {TIMEOUT},
    ),
    "ignores-interrupts": (
        """
import signal
signal.signal(2, signal.SIG_IGN)
while True: pass
""",
        {TIMEOUT},
    ),
    "swallows-interrupts": (
        """
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
        {TIMEOUT},
    ),
    "loops-in-c": ("sum(range(10**13))", {TIMEOUT}),
    "sleeps-at-the-check": (
        """
import time
affine = lambda x: 17 if x == 2 else time.sleep(99)
""",
        {TIMEOUT},
    ),
    "asks-the-teacher": ("affine = lambda x: int(input('the answer, please: '))", {ERROR}),
    "closes-stdout": (
        """
import os, sys
sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
""",
        {WRONG},
    ),
    "closes-everything": (
        """
import os
os.closerange(0, 256)
""",
        {DIED, TIMEOUT},
    ),
    "writes-to-all-pipes": (
        """
import os
for fd in range(3, 40):
    try:
        os.write(fd, b'nonsense' * 99)
    except OSError:
        pass
""",
        {DIED, WRONG},
    ),
    "stops-the-loop": (
        """
import asyncio
asyncio.get_event_loop().stop()
""",
        {DIED, ERROR, WRONG},
    ),
    "an-error-without-words": (
        """
class E(Exception):
    def __str__(self):
        raise self
    __repr__ = __str__
raise E
""",
        {ERROR, WRONG},
    ),
    "an-error-of-100-mb": ("raise Exception('x' * 100_000_000)", {ERROR, MEMORY, OUTPUT}),
    "an-error-past-exception": (
        """
class E(BaseException):
    pass
raise E
""",
        {ERROR, WRONG},
    ),
    "an-endless-recursion": (
        """
import sys
sys.setrecursionlimit(10**9)
f = lambda: sorted([0], key=lambda _: f())
f()
""",
        {DIED, ERROR, MEMORY},
    ),
    "threads-that-stay": (
        """
import threading, time
for _ in range(20):
    threading.Thread(target=time.sleep, args=(999,)).start()
""",
        {WRONG},
    ),
    "at-exit": (
        """
import atexit, time, os
atexit.register(time.sleep, 999)
atexit.register(os.fork)
""",
        {WRONG},
    ),
    "daemons": (
        """
import os, subprocess
subprocess.Popen(['sleep', places.mark], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp('sleep', ['sleep', places.mark])
    os._exit(0)
""",
        {WRONG},
    ),
    "two-of-itself": (
        """
import os
pid = os.fork()
""",
        {WRONG},
    ),
    "forks-without-end": (
        """
import os, time
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(99)
    except OSError:
        pass
""",
        {WRONG},
    ),
    "threads-without-end": (
        """
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(99,)).start()
""",
        {ERROR, MEMORY},
    ),
    "takes-memory": (
        """
blocks = []
while True:
    blocks.append(bytearray(10**7))
""",
        {MEMORY},
    ),
    "takes-shared-memory": (
        """
import mmap
blocks = []
while True:
    blocks.append(mmap.mmap(-1, 10**7))
    blocks[-1].write(b'x' * 10**7)
""",
        {MEMORY},
    ),
    "takes-memory-in-a-family": (
        """
import os, time
for _ in range(9):
    if os.fork() == 0:
        block = b"x" * 10**8
        time.sleep(99)
time.sleep(99)
""",
        {MEMORY, TIMEOUT},  # a slow machine needs longer than the limit to touch as many pages
    ),
    "fills-the-disk": (
        """
for i in range(10**4):
    with open(f'/tmp/{i}', 'wb') as file:
        for _ in range(50):
            file.write(bytes(10**6))
""",
        {ERROR, MEMORY},
    ),
    "fills-the-inodes": (
        """
try:
    for i in range(10**6):
        open(f'/tmp/{i}', 'w').close()
except OSError:
    pass
""",
        {WRONG},
    ),
    "opens-all-descriptors": (
        """
files = []
while True:
    files.append(open('/dev/null'))
""",
        {ERROR},
    ),
    "prints-without-end": (
        """
while True:
    print('x' * 10_000)
""",
        {OUTPUT},
    ),
    "prints-from-below": (
        """
import subprocess
subprocess.run(['yes'])
""",
        {OUTPUT},
    ),
    "displays-without-end": (
        """
while True:
    display({'text/html': '<p>' * 10_000}, raw=True)
""",
        {OUTPUT},
    ),
    "a-display-of-100-mb": ("display('x' * 100_000_000)", {MEMORY, OUTPUT, WRONG}),
    "a-cell-that-returns-much": ("'x' * 30_000_000", {MEMORY, OUTPUT, WRONG}),
}

# ---------------------------------------------------------------- damage to the questions that follow

SPOILING = {
    "reset": "%reset -f",
    "deletes-names": "del answer, cases, draws",
    "shadows-builtins": "len = range = abs = float = sum = None",
    "empties-builtins": """
import builtins
for name in ('len', 'range', 'sum', 'print', 'float', 'abs'):
    delattr(builtins, name)
""",
    "empties-modules": """
import sys
for name in list(sys.modules):
    if name.startswith(('torch', 'IPython')):
        del sys.modules[name]
""",
    "breaks-torch": """
torch.softmax = torch.linalg.lstsq = torch.cat = lambda *args, **kwargs: torch.zeros(3)
""",
    "breaks-torch-quietly": "vars(torch).update(softmax=None, cat=None, zeros=None)",
    "sets-default-types": """
torch.set_default_dtype(torch.float16)
torch.set_grad_enabled(False)
""",
    "warnings-are-errors": """
import warnings
warnings.simplefilter('error')
import sys
sys.setrecursionlimit(60)
""",
    "traces-all": """
import sys
sys.settrace(lambda *args: 1 / 0)
sys.setprofile(lambda *args: 1 / 0)
""",
    "swallows-displays": "get_ipython().display_pub.publish = lambda *args, **kwargs: None",
    "doubles-displays": """
p = get_ipython().display_pub
real = p.publish
p.publish = lambda *a, **k: (real(*a, **k), real(*a, **k))
""",
    "patches-the-publisher-s-class": "type(get_ipython().display_pub).publish = lambda *args, **kwargs: None",
    "patches-the-session": """
get_ipython().display_pub.session.send = get_ipython().display_pub.session.write = lambda *args: None
""",
    "replaces-run-cell": """
shell = get_ipython()
shell.run_cell = shell.run_cell_async = lambda *args, **kwargs: None
""",
    "ends-cells-by-itself": """
import os, json
done = json.dumps({'status': 'ok'}).encode()
os.write(4, b'D' + len(done).to_bytes(4, 'big') + done)
""",
    "ends-two-cells-by-itself": """
import os, json
done = json.dumps({'status': 'ok'}).encode()
os.write(4, 2 * (b'D' + len(done).to_bytes(4, 'big') + done))
""",
    "reads-the-commands": """
import os, fcntl
fcntl.fcntl(3, 4, 2048)
try:
    os.read(3, 99)
except OSError:
    pass
""",
    "a-thread-that-answers": """
import threading, time
def forge():
    while True:
        time.sleep(0.001)
        answer([1] * 8)
threading.Thread(target=forge, daemon=True).start()
""",
    "a-thread-that-kills": """
import threading, os
threading.Timer(0.05, os._exit, (0,)).start()
import time
""",
    "a-child-that-writes-later": """
import os, time
if os.fork() == 0:
    time.sleep(0.02)
    while True:
        os.write(4, b'nonsense')
""",
    "a-child-that-kills-later": """
import os, time
if os.fork() == 0:
    time.sleep(0.05)
    os.kill(os.getppid(), 9)
    os._exit(0)
""",
    "a-child-that-prints": """
import os
if os.fork() == 0:
    while True:
        os.write(1, b'x' * 9999)
""",
    "a-child-that-reads-the-commands": """
import os
if os.fork() == 0:
    while True:
        os.read(3, 9)
""",
    "removes-its-folder": """
import os, shutil
shutil.rmtree('/tmp/work', ignore_errors=True)
os.chdir('/')
os.environ.clear()
""",
    "replaces-the-generators": """
import torchbook.exercises
torchbook.exercises._generators.clear()
""",
    "limits-itself": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
""",
    "masks-signals": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
signal.alarm(1)
""",
    "an-alarm": """
import signal
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
""",
    "a-class-named-as-others": "softmax = divisors = classify = three = cases = answer = print = 0",
}
MAY_DIE = {WRONG, ERROR, DIED, OUTPUT, TIMEOUT}

# ---------------------------------------------------------------- judges and measures

OTHER_QUESTIONS = {
    "judge-gets-booleans": {"Q5": "def three(n):\n    return (True, True, n - 2)"},
    "judge-gets-floats": {"Q5": "def three(n):\n    return (1.0, 1.0, float(n - 2))"},
    "judge-gets-huge-numbers": {"Q5": "def three(n):\n    return (10**300, 1, n - 10**300 - 1)"},
    "judge-gets-nan": {"Q5": "def three(n):\n    return (1, 1, float('nan')) if n > 3 else (1, 1, 1)"},
    "judge-gets-text": {"Q5": "def three(n):\n    return '__import__(\"os\")' if n > 3 else (1, 1, 1)"},
    "judge-gets-dicts": {"Q5": "def three(n):\n    return {'__class__': 1, 2: 3} if n > 3 else (1, 1, 1)"},
    "judge-gets-too-few": {
        "Q5": "import torchbook.exercises\ntorchbook.exercises.cases = lambda name: [3]\n" + FALSE["Q5"]
    },
    "labels-of-nan": {"Q4": "def classify(x):\n    return torch.full((len(x),), torch.nan)"},
    "labels-both-ways": {"Q4": "def classify(x):\n    return torch.tensor([[0, 1]] * len(x))"},
    "labels-as-objects": {
        "Q4": """
class Label(int):
    __eq__ = lambda self, other: True
    __hash__ = int.__hash__
classify = lambda x: [Label(0)] * len(x)"""
    },
    "more-divisors-than-there-are": {"Q3": "divisors = lambda n: list(range(1, n + 1)) if n > 6 else [1, 2, 3, 6]"},
    "divisors-doubled": {"Q3": f"{HONEST['Q3']} * (1 + (n > 6))"},
    "a-shape-of-zero": {"Q2": "softmax = lambda x: torch.zeros(0, 4) if x.any() else torch.full((4,), 0.25)"},
    "an-off-by-little": {"Q1": "def affine(x):\n    return 7 * x + 3 + (x > 2)"},
}

NAMES = {
    "html-in-the-name": "<img src=x onerror=alert(1)>",
    "a-formula-as-name": "=HYPERLINK(1)+cmd",
    "ansi-in-the-name": "\x1b[31mred\x1b[0m",
    "newlines-in-the-name": 'two\nlines\r,"quoted"',
    "turned-text-in-the-name": "\u202eabc\u2066",
    "a-long-name": "x" * 200,
    "dots-in-the-name": "a...b. .",
}


def submissions(places: Places) -> list[Submission]:
    made = [Submission("all-false", _file(FALSE), NONE)]
    for name, source in FOR_EVERYTHING.items():
        answers = {**FALSE, "Q1": f"{LIE}\n{places.prelude()}{MIME}{source}"}
        made.append(Submission(name, _file(answers, before=[MIME + source]), NONE))
    attacks = {name: (source, {WRONG}) for name, source in READING.items()}
    attacks |= {name: (source, MAY_DIE) for name, source in SPOILING.items()} | ANSWERS | ENDINGS
    for name, (source, states) in attacks.items():
        made.append(Submission(name, _file({"Q1": _attack(places, source)}), REST, {"Q1": states}))
    for name, answers in OTHER_QUESTIONS.items():
        made.append(Submission(name, _file(answers), ALL - set(answers)))
    for name, file in NAMES.items():
        made.append(Submission(name, _file({"Q1": LIE}), REST, file=file, student=clean_name(file)))
    return made


def _attack(places: Places, source: str) -> str:
    """The answer to Q1: the attack, and what it needs; a false solution below it, where it has none of its own."""
    parts = [places.prelude() if "places" in source or "breach" in source else ""]
    parts += [MIME if "mime" in source else "", source]
    parts += [] if "affine" in source else [LIE]
    return "\n".join(parts)


def _file(answers: dict[str, str], before: Iterable[str] = ()) -> bytes:
    return as_file(cells_of(answers, before))
