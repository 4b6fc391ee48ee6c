import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { qemu, type Run, runGuest, runQemu } from '../../bench/hostProgram.js';
import { findDebianRoot } from './debianRoot.js';

/**
 * Debian's stress-ng: its stressors of memory, processes, signals, futexes, pipes and the scheduler, one at a time, with
 * --verify. GUESTHOUSE_STRESS_NG names for how many seconds each (4 takes half an hour); GUESTHOUSE_STRESSORS, when given, which
 * ones. Each has to end well, unless it does not under qemu-riscv64 either. A table of what they did is printed at the end.
 */
const seconds = Number(process.env.GUESTHOUSE_STRESS_NG ?? 0);
const root = seconds > 0 ? findDebianRoot() : { missing: 'set GUESTHOUSE_STRESS_NG to seconds' };
const program = typeof root === 'string' ? join(root, 'usr/bin/stress-ng') : '';
const missing =
  typeof root !== 'string' ? root.missing : existsSync(program) ? undefined : 'the root has no stress-ng';

/** The classes memory, vm, signal, pipe and scheduler, without what needs a device, a network or swap. */
const STRESSORS = `
  atomic bad-altstack context full judy malloc mcontend membarrier memcpy memfd memrate memthrash mincore misaligned null numa
  oom-pipe pipe pipeherd prefetch randlist resources rmap shellsort spinmem stack stackmmap str stream tlb-shootdown tree
  vm vm-addr vm-rw vm-segv zero zlib bigheap brk dev-shm env madvise mlock mlockmany mmap mmapaddr mmapcow mmapfiles mmapfixed
  mmapfork mmaphuge mmapmany mmaptorture mprotect mremap mseal msync msyncmany munmap pagemove pageswap remap shm shm-sysv
  userfaultfd vma vm-splice alarm sigabrt sigbus sigchld sigfd sigfpe sighup sigio sigill signal signest sigpending sigpipe
  sigq sigrt sigsegv sigsuspend sigtrap sigurg sigvtalrm sigxcpu sigxfsz timer fifo ring-pipe sendfile splice tee affinity
  clone cpu-sched cyclic daemon dnotify eventfd exec exit-group fault flipflop fork forkheavy futex hrtimers kill loadavg
  min-nanosleep mq msg mtx mutex nanosleep nice poll prio-inv pthread race-sched resched schedmix schedpolicy sem sem-sysv
  session sleep softlockup spawn switch vfork vforkmany wait workload yield zombie
`;
const stressors = (process.env.GUESTHOUSE_STRESSORS ?? STRESSORS).trim().split(/\s+/);

/** How stress-ng ends (EXIT_* of its sources). */
const ENDS: Readonly<Record<string, string>> = { 0: 'well', 2: 'failed', 3: 'no resources', 4: 'not here' };
const endOf = ({ code, signal }: Run): string => ENDS[String(code)] ?? String(code ?? signal);
/** "Bogus operations" that it counted. */
const operationsOf = ({ stdout, stderr }: Run): string =>
  /metrc: .*?\] [\w-]+ +(\d+) +[\d.]+ +[\d.]+/.exec(stderr + stdout)?.[1] ?? '';

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-stress-ng-'));
const table: string[] = [];
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  if (table.length > 0)
    console.log(['stressor          end           operations  under qemu', ...table].join('\n'));
});

describe.skipIf(missing !== undefined)(`stress-ng${missing === undefined ? '' : ` (${missing})`}`, () => {
  it.each(stressors)('%s', { timeout: (seconds * 2 + 150) * 1000 }, async (name) => {
    const work = join(folder, name);
    execFileSync('mkdir', [work]);
    const args = [`--${name}`, '1', '--timeout', `${seconds}s`, '--verify', '--metrics-brief'];
    const settings = { timeout: (seconds + 60) * 1000 };
    const options = ['-L', root as string, '--dir', `${work}:/scratch`, '-C', '/scratch'];
    const failed = (error: Error): Run => ({
      stdout: '',
      stderr: error.message,
      code: null,
      signal: 'SIGKILL',
      milliseconds: 0,
    });
    const run = await runGuest(options, program, args, settings).catch(failed);
    let theirs = 'not run';
    // What cannot be done here is asked of qemu, whose word counts.
    if (endOf(run) !== 'well' && qemu !== undefined) {
      const command = ['-L', root as string, program, ...args, '--temp-path', work];
      theirs = endOf(await runQemu(command[0], command.slice(1), settings).catch(failed));
    }
    table.push(`${name.padEnd(17)} ${endOf(run).padEnd(12)} ${operationsOf(run).padStart(11)}  ${theirs}`);
    if (endOf(run) !== 'well') expect(theirs, run.stderr + run.stdout).not.toBe('well');
  });
});
