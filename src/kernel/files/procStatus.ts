import { MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { tablesSize } from '../../memory/pageTables.js';
import { targetPageSize } from '../../mm/pageRange.js';
import { addressSpaceFigures } from '../../mm/smaps.js';
import { Cred } from '../../sync/records/cred.js';
import { Fs } from '../../sync/records/files.js';
import { GUEST_ZOMBIE, Guest, INIT_PID } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import {
  GuestSignals,
  PendingSignals,
  SIGNAL_COUNT,
  Sighand,
  SignalAction,
  ThreadSignals,
} from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { type Capabilities, type CapabilitySet, capabilitiesOf, singleSet } from '../capabilities.js';
import { guestCpuLocked, threadCpuLocked } from '../cpuTime.js';
import { credOf } from '../credentials.js';
import { ENOENT, SyscallError } from '../errno.js';
import { groupsOf } from '../groups.js';
import { getLimit, RLIM_INFINITY, threadByTidLocked } from '../guestRecords.js';
import { SIGCHLD } from '../signals/signalNumbers.js';
import { terminalDevice } from '../terminals/terminalNodes.js';
import type { ThreadContext } from '../threadContext.js';
import { ownPid, withProcess, withProcessRecord, withThreadRecord } from './heldProcess.js';

/** What /proc/PID tells of a process in figures: stat, status, statm, limits. */

/** Records of a guest as of one look at the list of guests. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Device number of the controlling terminal and its foreground group. */
  readonly terminal: number;
  readonly foreground: number;
  readonly zombie: boolean;
  readonly exitStatus: number;
  readonly stopped: boolean;
  readonly tids: readonly number[];
  readonly comm: string;
  readonly startTime: number;
  readonly cpu: number;
  readonly childCpu: number;
  readonly exitSignal: number;
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly limits: readonly (readonly [number, number])[];
  readonly pages: number;
  readonly resident: number;
  readonly residentPeak: number;
  readonly pagesPeak: number;
  readonly tables: number;
  readonly dataPages: number;
  readonly lockedPages: number;
  readonly capabilities: Capabilities;
  readonly bounding: CapabilitySet;
  readonly ambient: CapabilitySet;
  readonly noNewPrivileges: number;
}

/** A name of up to 15 bytes, of a thread or of a zombie. */
function commAt(mem: SharedMemory, from: number): string {
  const bytes = mem.u8.slice(from, from + 16);
  const end = bytes.indexOf(0);
  return Buffer.from(bytes).toString('latin1', 0, end < 0 ? 16 : end);
}

function hex64(low: number, high: number): string {
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}

/** SigPnd, ShdPnd, SigBlk, SigIgn, SigCgt of a thread; of a zombie they are empty. */
function signalSets(mem: SharedMemory, guest: number, thread: number): string[] {
  const own = thread === 0 ? 0 : mem.getU32(thread + Thread.signals);
  const shared = mem.getU32(guest + Guest.signals);
  const sighand = thread === 0 ? 0 : mem.getU32(thread + Thread.sighand);
  const ignored = [0, 0];
  const caught = [0, 0];
  if (sighand !== 0) {
    for (let signal = 1; signal <= SIGNAL_COUNT; signal++) {
      const handler = mem.getU64(
        sighand + Sighand.actions + signal * SignalAction.SIZE + SignalAction.handler,
      );
      const into = handler === 1 ? ignored : handler === 0 ? undefined : caught;
      if (into !== undefined) into[(signal - 1) >> 5] |= 1 << ((signal - 1) & 31);
    }
  }
  const pending = (at: number): string =>
    hex64(mem.getU32(at + PendingSignals.low), mem.getU32(at + PendingSignals.high));
  const none = hex64(0, 0);
  return [
    own === 0 ? none : pending(own + ThreadSignals.pending),
    shared === 0 ? none : pending(shared + GuestSignals.pending),
    own === 0
      ? none
      : hex64(mem.getU32(own + ThreadSignals.blockedLow), mem.getU32(own + ThreadSignals.blockedHigh)),
    hex64(ignored[0], ignored[1]),
    hex64(caught[0], caught[1]),
  ];
}

/** tty_nr and tpgid: 0 and −1 without a controlling terminal. Machine.guestsLock is held. */
function terminalOfLocked(mem: SharedMemory, guest: number): Pick<Process, 'terminal' | 'foreground'> {
  const tty = mem.getU32(guest + Guest.terminal);
  if (tty === 0) return { terminal: 0, foreground: -1 };
  return { terminal: terminalDevice(mem, tty), foreground: mem.getU32(tty + Tty.foreground) || -1 };
}

/** Process `pid` as /proc shows it, with what its thread `tid` acts as. Throws ENOENT. */
export function processOf(t: ThreadContext, pid: number, tid = pid): Process {
  const { mem } = t;
  const found = withProcessRecord(t, pid, (guest): Process => {
    const tids: number[] = [];
    const first = mem.getU32(guest + Guest.threads);
    for (let thread = first; thread !== 0; thread = mem.getU32(thread + Thread.nextInGuest))
      tids.push(mem.getU32(thread + Thread.tid));
    const leader = threadByTidLocked(mem, guest, pid) || first;
    const one = tid === pid ? 0 : threadByTidLocked(mem, guest, tid);
    const cred = one === 0 ? guest + Guest.cred : credOf(mem, one);
    const mm = leader === 0 ? 0 : mem.getU32(leader + Thread.mm);
    const parent = mem.getU32(guest + Guest.parent);
    const words = (at: number): number[] => Array.from({ length: 4 }, (_, i) => mem.getU32(at + i * 4));
    return {
      pid,
      parent: parent !== 0 ? mem.getU32(parent + Guest.pid) : pid === INIT_PID ? 0 : INIT_PID,
      group: mem.getU32(guest + Guest.pgid),
      session: mem.getU32(guest + Guest.sid),
      ...terminalOfLocked(mem, guest),
      zombie: mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE,
      stopped: mem.atomicLoad(mem.getU32(guest + Guest.signals) + GuestSignals.stopped) !== 0,
      tids: tids.sort((a, b) => a - b),
      exitStatus: mem.getU32(guest + Guest.exitStatus),
      comm: commAt(mem, leader === 0 ? guest + Guest.comm : leader + Thread.comm),
      startTime: mem.getU64(guest + Guest.startTime),
      cpu: guestCpuLocked(mem, guest),
      childCpu: mem.getU64(guest + Guest.childCpuMicroseconds) / 1000,
      exitSignal: mem.getU32(guest + Guest.parent) === 0 ? SIGCHLD : mem.getU32(guest + Guest.exitSignal),
      uids: words(cred + Cred.uids),
      gids: words(cred + Cred.gids),
      groups: groupsOf(mem, cred),
      limits: Array.from({ length: 16 }, (_, which) => getLimit(mem, guest, which)),
      pages: mm === 0 ? 0 : mem.getU32(mm + Mm.mappedPages),
      resident: mm === 0 ? 0 : Math.max(0, mem.atomicLoad(mm + Mm.residentPages)),
      residentPeak: mm === 0 ? 0 : Math.max(0, mem.atomicLoad(mm + Mm.residentPeak)),
      pagesPeak: mm === 0 ? 0 : mem.getU32(mm + Mm.mappedPeak),
      tables: mm === 0 ? 0 : tablesSize(mem, mm),
      dataPages: mm === 0 ? 0 : mem.getU32(mm + Mm.dataPages),
      lockedPages: mm === 0 ? 0 : mem.getU32(mm + Mm.lockedPages),
      capabilities: capabilitiesOf(mem, cred),
      bounding: singleSet(mem, cred, Cred.boundingSet),
      ambient: singleSet(mem, cred, Cred.ambientSet),
      noNewPrivileges: mem.getU32(guest + Guest.noNewPrivileges),
    };
  });
  if (found === undefined) throw new SyscallError(ENOENT);
  return found;
}

/** Resident pages in KiB: the memory layer counts host pages. */
function residentKib(mem: SharedMemory, pages: number): number {
  return pages * ((1 << mem.getU32(MACHINE + Machine.hostPageShift)) / 1024);
}

/** Ticks of 10 ms since the machine's start, as /proc/PID/stat counts. */
function startTicks(mem: SharedMemory, startMicroseconds: number): number {
  return Math.max(0, Math.floor((startMicroseconds / 1000 - mem.getU64(MACHINE + Machine.bootTime)) / 10));
}

/** What thread `tid` does: it sleeps exactly while a system call of its waits, as tests that look for that rely on. */
function stateOf(t: ThreadContext, process: Process, tid: number): string {
  if (process.zombie) return 'Z (zombie)';
  if (process.stopped) return 'T (stopped)';
  const asleep = withProcessRecord(t, process.pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    return thread !== 0 && t.mem.atomicLoad(thread + Thread.asleep) !== 0;
  });
  return asleep ? 'S (sleeping)' : 'R (running)';
}

/** Lines of status about the address space; a zombie has none. */
function memoryLines(t: ThreadContext, p: Process): string {
  const own = withProcess(t, p.pid, addressSpaceFigures);
  if (own === undefined) return '';
  const kib = (name: string, value: number): string =>
    `${name}:\t${String(Math.floor(value)).padStart(8)} kB\n`;
  const rss = (own.residentAnonymous + own.residentFile + own.residentShared) * 4;
  return (
    kib('VmPeak', Math.max(p.pages, p.pagesPeak) * 4) +
    kib('VmSize', p.pages * 4) +
    kib('VmLck', p.lockedPages * 4) +
    kib('VmPin', 0) +
    kib('VmHWM', Math.max(rss, residentKib(t.mem, p.residentPeak))) +
    kib('VmRSS', rss) +
    kib('RssAnon', own.residentAnonymous * 4) +
    kib('RssFile', own.residentFile * 4) +
    kib('RssShmem', own.residentShared * 4) +
    kib('VmData', (own.data - own.stack) * 4) +
    kib('VmStk', own.stack * 4) +
    kib('VmExe', own.text * 4) +
    kib('VmLib', own.library * 4) +
    kib('VmPTE', p.tables / 1024) +
    kib('VmSwap', 0) +
    kib('HugetlbPages', 0) +
    'CoreDumping:\t0\nTHP_enabled:\t0\n'
  );
}

export function renderStatus(t: ThreadContext, pid: number, tid: number): string {
  const { mem } = t;
  const p = processOf(t, pid, tid);
  const umask = withProcess(
    t,
    pid,
    ({ fs }) =>
      `Umask:\t${mem
        .getU32(fs + Fs.umask)
        .toString(8)
        .padStart(4, '0')}\n`,
  );
  const sets = withProcessRecord(t, pid, (guest) =>
    signalSets(mem, guest, threadByTidLocked(mem, guest, tid)),
  );
  const [pending, shared, blocked, ignored, caught] = sets ?? [];
  const caps = p.capabilities;
  const cpus = Math.max(1, mem.getU32(MACHINE + Machine.cpuCount));
  return (
    `Name:\t${threadComm(t, pid, tid) ?? p.comm}\n${umask ?? ''}` +
    `State:\t${stateOf(t, p, tid)}\nTgid:\t${pid}\nNgid:\t0\nPid:\t${tid}\nPPid:\t${p.parent}\nTracerPid:\t0\n` +
    `Uid:\t${p.uids.join('\t')}\nGid:\t${p.gids.join('\t')}\nFDSize:\t${p.zombie ? 0 : 64}\n` +
    `Groups:\t${p.groups.map((group) => `${group} `).join('')}\n` +
    `NStgid:\t${pid}\nNSpid:\t${tid}\nNSpgid:\t${p.group}\nNSsid:\t${p.session}\nKthread:\t0\n` +
    memoryLines(t, p) +
    `Threads:\t${Math.max(1, p.tids.length)}\nSigQ:\t0/4096\nSigPnd:\t${pending}\nShdPnd:\t${shared}\nSigBlk:\t${blocked}\n` +
    `SigIgn:\t${ignored}\nSigCgt:\t${caught}\nCapInh:\t${hex64(...caps.inheritable)}\nCapPrm:\t${hex64(...caps.permitted)}\nCapEff:\t${hex64(...caps.effective)}\n` +
    `CapBnd:\t${hex64(...p.bounding)}\nCapAmb:\t${hex64(...p.ambient)}\nNoNewPrivs:\t${p.noNewPrivileges}\nSeccomp:\t0\nSeccomp_filters:\t0\n` +
    `Cpus_allowed:\t${((1 << Math.min(cpus, 31)) - 1).toString(16)}\n` +
    `Cpus_allowed_list:\t${cpus === 1 ? '0' : `0-${cpus - 1}`}\nMems_allowed:\t1\nMems_allowed_list:\t0\n` +
    'voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n'
  );
}

/** What stat says of how a thread is scheduled: priority as top shows it, niceness, real-time priority, policy. */
function scheduling(mem: SharedMemory, thread: number): readonly [number, number, number, number] {
  const policy = mem.getU32(thread + Thread.schedulingPolicy) & 0xffff;
  const realtime = mem.getU32(thread + Thread.schedulingPriority);
  const niceness = mem.getI32(thread + Thread.niceness);
  const isRealtime = policy === SCHED_FIFO || policy === SCHED_RR;
  return [isRealtime ? -1 - realtime : 20 + niceness, niceness, isRealtime ? realtime : 0, policy];
}
const SCHED_FIFO = 1;
const SCHED_RR = 2;

/** The 52 figures of proc_pid_stat(5). Those that are not known are 0. */
export function renderStat(t: ThreadContext, pid: number, tid: number): string {
  const { mem } = t;
  const p = processOf(t, pid);
  const comm = threadComm(t, pid, tid) ?? p.comm;
  const cpu = tid === pid ? p.cpu : threadTime(t, pid, tid);
  const [priority, niceness, realtime, policy] = withThreadRecord(t, pid, tid, (thread) =>
    scheduling(mem, thread),
  ) ?? [20, 0, 0, 0];
  const mm = pid === ownPid(t) ? t.mm : 0;
  const address = (field: number): number => (mm === 0 ? 0 : mem.getU64(mm + field));
  const who = [p.parent, p.group, p.session, p.terminal, p.foreground, 4194304];
  const faults = [0, 0, 0, 0];
  const times = [Math.floor(cpu / 10), 0, Math.floor(p.childCpu / 10), 0];
  const threads = [priority, niceness, Math.max(1, p.tids.length), 0, startTicks(mem, p.startTime)];
  const memory = [p.pages * 4096, Math.floor(residentKib(mem, p.resident) / 4), '18446744073709551615'];
  const code = [address(Mm.startCode), address(Mm.endCode), address(Mm.startStack), 0, 0];
  const signals = [0, 0, 0, 0, 0, 0, 0];
  const processor = [p.exitSignal, 0, realtime, policy, 0, 0, 0];
  const data = [Mm.startData, Mm.endData, Mm.startBrk, Mm.argStart, Mm.argEnd, Mm.envStart, Mm.envEnd];
  return `${[
    tid,
    `(${comm})`,
    stateOf(t, p, tid)[0],
    ...who,
    ...faults,
    ...times,
    ...threads,
    ...memory,
    ...code,
    ...signals,
    ...processor,
    ...data.map(address),
    p.zombie ? p.exitStatus : 0,
  ].join(' ')}\n`;
}

export function renderStatm(t: ThreadContext, pid: number): string {
  const p = processOf(t, pid);
  const own = withProcess(t, pid, (c) => {
    const figures = addressSpaceFigures(c);
    const shared = figures.residentFile + figures.residentShared;
    // Seven figures, in pages of the process.
    const units = [p.pages, figures.residentAnonymous + shared, shared, figures.text, 0, figures.data, 0];
    return units.map((count) => Math.ceil(count / (targetPageSize(c) / MIN_PAGE_SIZE)));
  });
  if (own !== undefined) return `${own.join(' ')}\n`;
  const resident = Math.floor(residentKib(t.mem, p.resident) / 4);
  return `${p.pages} ${resident} 0 0 0 ${p.dataPages} 0\n`;
}

const LIMIT_NAMES: readonly (readonly [string, string])[] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

export function renderLimits(t: ThreadContext, pid: number): string {
  const { limits } = processOf(t, pid);
  const show = (value: number): string => (value >= RLIM_INFINITY ? 'unlimited' : String(value)).padEnd(21);
  let out = `${'Limit'.padEnd(26)}${'Soft Limit'.padEnd(21)}${'Hard Limit'.padEnd(21)}Units     \n`;
  LIMIT_NAMES.forEach(([name, unit], i) => {
    out += `${name.padEnd(26)}${show(limits[i][0])}${show(limits[i][1])}${unit.padEnd(10)}\n`;
  });
  return out;
}

export function threadComm(t: ThreadContext, pid: number, tid: number): string | undefined {
  return withThreadRecord(t, pid, tid, (thread) => commAt(t.mem, thread + Thread.comm));
}

/** CPU time of one thread, milliseconds. */
export function threadTime(t: ThreadContext, pid: number, tid: number): number {
  return withThreadRecord(t, pid, tid, (thread) => threadCpuLocked(t.mem, thread)) ?? 0;
}
