import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runGuest } from '../../bench/hostProgram.js';
import { findDebianRoot } from './debianRoot.js';

const root = findDebianRoot();
const missing = typeof root !== 'string';
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-debian-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let folders = 0;
/** What `program` of the root prints, in a folder of its own that it sees as /scratch; fails unless it ends with 0. */
async function output(program: string, args: string[], stdin = ''): Promise<string> {
  const work = join(folder, String(folders++));
  execFileSync('mkdir', [work]);
  const environment = ['PATH=/usr/bin:/bin', 'HOME=/scratch', 'LC_ALL=C', 'PYTHONDONTWRITEBYTECODE=1'];
  const options = ['-L', root as string, '--dir', `${work}:/scratch`, '-C', '/scratch'];
  for (const pair of environment) options.push('-E', pair);
  const run = await runGuest(options, join(root as string, 'usr/bin', program), args, {
    stdin,
    timeout: 280_000,
  });
  expect({ end: run.code ?? run.signal, stderr: run.stderr }).toEqual({ end: 0, stderr: '' });
  return run.stdout;
}

/** A script in the language of `program` that is to print `expected`. */
interface Script {
  readonly name: string;
  readonly program: string;
  /** Options before the script. */
  readonly option?: string;
  readonly script: string;
  readonly expected: string;
  /** A program that only a root made with more packages than the usual ones has. */
  readonly needs?: string;
}

const scripts: readonly Script[] = [
  {
    name: 'busybox: a shell, pipelines, find, tar, gzip, awk and sed',
    program: 'busybox',
    option: 'sh -c',
    script: `
      set -e
      mkdir -p tree/a/b && for i in 1 2 3; do echo "line $i" > tree/a/b/f$i; done
      busybox find tree -type f | busybox sort | busybox tail -n 1
      busybox tar czf t.tgz tree && rm -r tree && busybox tar xzf t.tgz
      busybox cat tree/a/b/f* | busybox sed 's/line/no/' | busybox awk '{ s += $2 } END { print s, NR }'
      trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1
      busybox seq 3 | while read n; do printf '%s;' $((n * n)); done; echo
    `,
    expected: 'tree/a/b/f3\n6 3\ntrapped\n1;4;9;\n',
  },
  {
    name: 'bash: functions, arrays, job control, here documents, process substitution',
    program: 'bash',
    option: '-c',
    script: `
      set -e
      declare -A m=([x]=1 [y]=2); f() { local IFS=,; echo "$*"; }; f "\${m[x]}" "\${m[y]}"
      sleep 0.2 & wait $! && echo waited
      cat <<< "here $((6 * 7))"
      diff <(seq 3) <(seq 3) && echo same
      set -m; (sleep 0.3; exit 7) & fg > /dev/null || echo "job $?"
      trap 'echo bye' EXIT
      printf '%s\\n' {a..c} | tac | tr -d '\\n'; echo
      find /usr/bin -name 'ba*sh' | xargs -n 1 basename
      ls -la /scratch | wc -l; stat -c %s /usr/lib/os-release > /dev/null; sha256sum < /dev/null | cut -c1-8
    `,
    expected: '1,2\nwaited\nhere 42\nsame\njob 7\ncba\nbash\n3\ne3b0c442\nbye\n',
  },
  {
    name: 'awk, grep, sort, uniq, join and cut',
    program: 'dash',
    option: '-c',
    script: `
      seq 1000 | awk '{ c[$1 % 7]++ } END { for (i = 0; i < 7; i++) printf "%d ", c[i]; print "" }'
      seq 100 | grep -c 7; printf 'b 2\\na 1\\na 1\\n' | sort | uniq -c | sed 's/^ *//'
      printf '1 x\\n2 y\\n' > l; printf '1 p\\n2 q\\n' > r; join l r | cut -d' ' -f2,3
    `,
    expected: '142 143 143 143 143 143 143 \n19\n2 a 1\n1 b 2\nx p\ny q\n',
  },
  {
    name: 'perl: hashes, regular expressions, fork, pipes and sockets',
    program: 'perl',
    option: '-e',
    script: `
      my %h = map { $_ => $_ ** 2 } 1 .. 5; print join(",", map { "$_=$h{$_}" } sort keys %h), "\\n";
      my $p = fork; if (!$p) { exit 3 } waitpid($p, 0); print $? >> 8, "\\n";
      print \`echo sub\`; open(my $o, "|-", "tr a-z A-Z") or die; print $o "upper\\n"; close $o;
      (my $t = "hello world") =~ s/(\\w+) (\\w+)/$2 $1/; print "$t\\n";
      use Socket; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!; syswrite $a, "pair\\n"; sysread $b, my $s, 99; print $s;
    `,
    expected: '1=1,2=4,3=9,4=16,5=25\n3\nsub\nUPPER\nworld hello\npair\n',
  },
  {
    name: 'bash on a pseudo-terminal: job control and line editing',
    program: 'python3.13',
    option: '-c',
    script: `
import os, pty, time
os.environ.update(PS1="ready> ", TERM="dumb")
pid, fd = pty.fork()
if pid == 0: os.execvp("bash", ["bash", "--norc", "-i"])
seen, at = "", 0
def until(text):
    global seen, at
    while text not in seen[at:]: seen += os.read(fd, 4096).decode()
    at = seen.index(text, at) + len(text)
def type(keys): os.write(fd, keys.encode())
def job(keys):
    type(keys)
    while os.tcgetpgrp(fd) == pid: time.sleep(0.01)
    while open(f"/proc/{os.tcgetpgrp(fd)}/comm").read() != "sleep\\n": time.sleep(0.01)
until("ready> "); job("sleep 100\\n"); type("\\x1a"); until("Stopped"); print("stopped")
until("ready> "); type("jobs\\n"); until("Stopped"); until("ready> "); type("bg\\n"); until("sleep 100 &"); print("background")
until("ready> "); job("fg\\n"); type("\\x03"); until("ready> "); type("echo $?\\n"); until("130"); print("interrupted")
until("ready> "); type("echo abcx\\x7fd\\x1b[D\\x1b[D-\\n"); until("\\nab-cd"); print("edited")
until("ready> "); type("cat\\n")
while os.tcgetpgrp(fd) == pid: time.sleep(0.01)
type("line\\n"); until("line\\r\\nline"); type("\\x04"); until("ready> "); print("end of file")
type("exit 3\\n"); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`,
    expected: 'stopped\nbackground\ninterrupted\nedited\nend of file\n3\n',
  },
  {
    name: 'python: threads and subprocesses',
    program: 'python3.13',
    option: '-c',
    script: `
import subprocess, sys, threading, queue
print(sys.executable)
q = queue.Queue()
threads = [threading.Thread(target=lambda i=i: q.put(i * i)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(q.get() for _ in threads))
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"sub", capture_output=True).stdout)
print(subprocess.run(["sh", "-c", "exit 5"]).returncode)
lock = threading.Lock(); n = 0
def add():
    global n
    for _ in range(2000):
        with lock: n += 1
threads = [threading.Thread(target=add) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(n)
`,
    expected: "/usr/bin/python3.13\n[0, 1, 4, 9, 16, 25, 36, 49]\nb'SUB'\n5\n8000\n",
  },
  {
    name: 'python: processes',
    program: 'python3.13',
    option: '-c',
    script: `
import multiprocessing as mp
def square(x): return x * x
if __name__ == "__main__":
    context = mp.get_context("fork")
    with context.Pool(3) as pool: print(pool.map(square, range(10)))
    q = context.Queue(); p = context.Process(target=q.put, args=("from the child",)); p.start(); print(q.get()); p.join(); print(p.exitcode)
`,
    expected: '[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\nfrom the child\n0\n',
  },
  {
    name: 'python: asyncio',
    program: 'python3.13',
    option: '-c',
    script: `
import asyncio
async def one(i):
    await asyncio.sleep(0.01 * i); return i
async def main():
    print(await asyncio.gather(*[one(i) for i in range(5)]))
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print((await p.communicate(b"through cat"))[0])
    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except TimeoutError: print("timeout")
asyncio.run(main())
`,
    expected: "[0, 1, 2, 3, 4]\nb'through cat'\ntimeout\n",
  },
  {
    name: 'python: sqlite3, json, hashlib, zlib',
    program: 'python3.13',
    option: '-c',
    script: `
import sqlite3, json, hashlib, zlib, tempfile, os
db = sqlite3.connect("/scratch/t.db"); db.execute("create table t(a, b)")
db.executemany("insert into t values(?, ?)", [(i, i * i) for i in range(1000)]); db.commit()
print(db.execute("select count(*), sum(b) from t where a % 2").fetchone())
print(json.dumps({"x": [1, 2.5, None]}), hashlib.sha256(b"x").hexdigest()[:8], zlib.crc32(b"x"))
with tempfile.TemporaryFile() as f: f.write(b"temporary"); f.seek(4); print(f.read())
`,
    expected: '(500, 166666500)\n{"x": [1, 2.5, null]} 2d711642 2363233923\nb\'orary\'\n',
  },
  {
    name: 'sqlite3: a database in a file',
    program: 'sqlite3',
    option: '/scratch/d.db',
    script:
      'create table t(a integer primary key, b text); with recursive c(x) as (values(1) union all select x+1 from c where x<2000) insert into t select x, hex(x) from c; create index i on t(b); select count(*), max(a), min(b) from t; pragma integrity_check;',
    expected: '2000|2000|31\nok\n',
  },
  {
    name: 'lua: closures, coroutines, strings',
    program: 'lua5.4',
    option: '-e',
    script: `
      local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * i) end end)
      print(co(), co(), co()); print(("x"):rep(5), ("abc"):upper(), #("é"))
      local t = {}; for i = 1, 1e5 do t[i] = i % 97 end; table.sort(t); print(t[1], t[#t])
    `,
    expected: '1\t4\t9\nxxxxx\tABC\t2\n0\t96\n',
  },
  {
    name: 'git: init, commit, branch, merge, clone',
    program: 'bash',
    option: '-c',
    script: `
      set -e
      export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
      git init -q -b main r && cd r && echo one > f && git add f && git commit -qm one
      git checkout -qb side && echo two >> f && git commit -qam two && git checkout -q main && git merge -q side
      git log --format='%h %s' && cd .. && git clone -q r s && cat s/f && git -C s fsck 2>&1 && git -C s status --short | wc -l
    `,
    expected: '259c245 two\n441d74d one\none\ntwo\n0\n',
  },
  {
    name: 'make and gcc: two C files, and the program they make',
    program: 'bash',
    option: '-c',
    script: `
      set -e
      echo 'int twice(int x) { return 2 * x; }' > a.c
      printf '#include <stdio.h>\\nint twice(int);\\nint main(void) { printf("compiled %%d\\\\n", twice(21)); return 0; }\\n' > b.c
      printf 'p: a.o b.o\\n\\tgcc -o p a.o b.o\\n%%.o: %%.c\\n\\tgcc -O2 -c $<\\n' > Makefile
      make -s -j2 && ./p
    `,
    expected: 'compiled 42\n',
  },
  {
    name: 'g++: exceptions, threads and containers',
    program: 'bash',
    option: '-c',
    script: `
      set -e
      cat > a.cc << 'END'
#include <cstdio>
#include <map>
#include <thread>
int main() {
  std::map<int, int> m;
  std::thread t([&] { m[1] = 2; });
  t.join();
  try { throw m[1]; } catch (int x) { std::printf("caught %d %zu", x, m.size()); }
}
END
      g++ -O1 -o p a.cc && ./p
    `,
    expected: 'caught 2 1',
    needs: 'g++',
  },
  {
    name: 'ruby: threads and a process',
    program: 'ruby',
    option: '-e',
    script:
      'p (1..4).map { |i| Thread.new { i * i } }.map(&:value); puts `echo sub`; fork { exit 3 }; Process.wait; p $?.exitstatus',
    expected: '[1, 4, 9, 16]\nsub\n3\n',
    needs: 'ruby',
  },
  {
    name: 'php: sums, a digest, a process',
    program: 'php8.4',
    option: '-r',
    script: 'echo array_sum(range(1, 100)), hash("crc32b", "x"), shell_exec("echo sub");',
    expected: '50508cdc1683sub\n',
    needs: 'php8.4',
  },
  {
    name: 'openssl: digests and a round trip of encryption',
    program: 'bash',
    option: '-c',
    script: `
      seq 10000 > x; openssl dgst -sha256 x
      openssl enc -aes-256-cbc -pbkdf2 -pass pass:k -in x -out y && openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:k -in y | cmp - x && echo same
    `,
    expected: 'SHA2-256(x)= 8060aa0ac20a3e5db2b67325c98a0122f2d09a612574458225dcb9a086f87cc3\nsame\n',
  },
  {
    name: 'zstd with threads, xz, bzip2, gzip: what goes in comes out',
    program: 'bash',
    option: '-c',
    script: `
      set -e
      seq 60000 > x
      for c in "zstd -q -T3" "xz -T2" bzip2 gzip; do $c -c x > y; \${c%% *} -dc < y | cmp - x && echo "\${c%% *}"; done
    `,
    expected: 'zstd\nxz\nbzip2\ngzip\n',
  },
  {
    name: 'jq: a query',
    program: 'jq',
    option: '-cn',
    script: '[range(10) | select(. % 3 == 0) | {n: ., s: (. * . | tostring)}] | map(.s) | join("-")',
    expected: '"0-9-36-81"\n',
  },
];

describe(`programs of Debian${missing ? ` (${root.missing})` : ''}`, () => {
  for (const { name, program, option, script, expected, needs } of scripts) {
    const absent = needs !== undefined && !missing && !existsSync(join(root, 'usr/bin', needs));
    it.skipIf(missing || absent)(
      absent ? `${name} (the root has no ${needs})` : name,
      { timeout: 300_000 },
      async () => {
        const options = option === undefined ? [] : option.startsWith('sh ') ? option.split(' ') : [option];
        expect(await output(program, [...options, script])).toBe(expected);
      },
    );
  }

  it.skipIf(missing)('bash reads a script from its input', { timeout: 300_000 }, async () => {
    expect(await output('bash', [], 'read line\nthis is read\necho "[$line]"\n')).toBe('[this is read]\n');
  });
});
