import { MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { tablesSize } from '../../memory/pageTables.js';
import { copyIn } from '../../memory/userAccess.js';
import { releaseMm, retainMm } from '../../mm/addressSpace.js';
import { mmapLock, mmapUnlock } from '../../mm/mmapLock.js';
import { formatMaps } from '../../mm/pageDump.js';
import { targetPageSize } from '../../mm/pageRange.js';
import { addressSpaceFigures, formatSmaps, formatSmapsRollup } from '../../mm/smaps.js';
import { withMutex } from '../../sync/mutex.js';
import { Fs } from '../../sync/records/files.js';
import { GUEST_ZOMBIE, Guest } from '../../sync/records/guest.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import {
  FILE_DEVICE,
  FILE_HOST,
  FILE_HOST_DIRECTORY,
  FILE_MADE_DIRECTORY,
  OpenFile,
} from '../../sync/records/openFile.js';
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
import { textString } from '../../sync/text.js';
import {
  CAP_SYS_RESOURCE,
  type Capabilities,
  type CapabilitySet,
  capabilitiesOf,
  capable,
  singleSet,
} from '../capabilities.js';
import { guestCpuLocked, threadCpu } from '../clock.js';
import { EACCES, EINVAL, ENOENT, SyscallError } from '../errno.js';
import { groupsOf } from '../groups.js';
import { getLimit, RLIM_INFINITY, threadByTidLocked, visitGuests } from '../guestRecords.js';
import { terminalDevice } from '../terminals/terminalNodes.js';
import type { ThreadContext } from '../threadContext.js';
import { DEV_PROC } from './fileStatus.js';
import { acquireFile, getCloseOnExec, listDescriptors, releaseFiles, retainFiles } from './filesTable.js';
import { releaseFs, retainFs, rootDirectory, workingDirectory } from './fsRecord.js';
import { fstatHost, hasProcFd } from './hostAccess.js';
import { type MadeNode, madeDirectory, madeLink, madeText } from './madeNode.js';
import { namespacesDirectory } from './namespaces.js';
import { flagsOf, pathOf, releaseOpenFile } from './openFile.js';
import { currentMappedPath, currentPath } from './pathResolution.js';
import { renderMountInfo, renderMounts } from './procMounts.js';
import { netDirectory } from './procNet.js';

/** /proc/PID, of any guest of the machine. */

/** Nanoseconds. */
export const DEFAULT_TIMERSLACK = 50000;

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
  readonly stopped: boolean;
  readonly tids: readonly number[];
  readonly comm: string;
  readonly startTime: number;
  readonly cpu: number;
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
  readonly signals: readonly string[];
  readonly capabilities: Capabilities;
  readonly bounding: CapabilitySet;
  readonly ambient: CapabilitySet;
  readonly noNewPrivileges: number;
}

function commOf(mem: SharedMemory, thread: number): string {
  const from = thread + Thread.comm;
  const bytes = mem.u8.slice(from, from + 16);
  const end = bytes.indexOf(0);
  return Buffer.from(bytes).toString('latin1', 0, end < 0 ? 16 : end);
}

function hex64(low: number, high: number): string {
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}

/** SigPnd, ShdPnd, SigBlk, SigIgn, SigCgt of a thread. */
function signalSets(mem: SharedMemory, guest: number, thread: number): string[] {
  const own = mem.getU32(thread + Thread.signals);
  const shared = mem.getU32(guest + Guest.signals);
  const sighand = mem.getU32(thread + Thread.sighand);
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

/** The records behind a process; also a Caller for its memory. */
interface Held {
  readonly mem: SharedMemory;
  readonly thread: number;
  readonly mm: number;
  readonly files: number;
  readonly fs: number;
}

/** Runs `body` with the address space and descriptors of process `pid` held; undefined when it has none any more. */
export function withProcess<T>(t: ThreadContext, pid: number, body: (process: Held) => T): T | undefined {
  if (pid === ownPid(t)) return body(t);
  const { mem, thread } = t;
  const held = withProcessRecord(t, pid, (guest): Held | undefined => {
    for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest)) {
      const mm = mem.getU32(o + Thread.mm);
      const files = mem.getU32(o + Thread.files);
      const fs = mem.getU32(o + Thread.fs);
      // A thread that ends has let go of them, and waits for threadsLock before they go.
      if (mm === 0 || files === 0 || fs === 0) continue;
      retainMm(mem, mm);
      retainFiles(mem, files);
      retainFs(mem, fs);
      return { mem, thread, mm, files, fs };
    }
    return undefined;
  });
  if (held === undefined) return undefined;
  try {
    return body(held);
  } finally {
    releaseFs(mem, held.fs, thread);
    releaseFiles(mem, held.files, thread);
    releaseMm(mem, held.mm, thread);
  }
}

/** Runs `body` on the Guest record of `pid` while it cannot go away; undefined when there is none. */
export function withProcessRecord<T>(
  t: ThreadContext,
  pid: number,
  body: (guest: number) => T,
): T | undefined {
  let result: T | undefined;
  visitGuests(t.mem, t.thread, (guest) => {
    if (t.mem.getU32(guest + Guest.pid) !== pid) return false;
    result = withMutex(t.mem, guest + Guest.threadsLock, t.thread, () => body(guest));
    return true;
  });
  return result;
}

/** tty_nr and tpgid: 0 and −1 without a controlling terminal. Machine.guestsLock is held. */
function terminalOfLocked(mem: SharedMemory, guest: number): Pick<Process, 'terminal' | 'foreground'> {
  const tty = mem.getU32(guest + Guest.terminal);
  if (tty === 0) return { terminal: 0, foreground: -1 };
  return { terminal: terminalDevice(mem, tty), foreground: mem.getU32(tty + Tty.foreground) || -1 };
}

function processOf(t: ThreadContext, pid: number): Process {
  const { mem } = t;
  const found = withProcessRecord(t, pid, (guest): Process => {
    const tids: number[] = [];
    const first = mem.getU32(guest + Guest.threads);
    for (let thread = first; thread !== 0; thread = mem.getU32(thread + Thread.nextInGuest))
      tids.push(mem.getU32(thread + Thread.tid));
    const leader = threadByTidLocked(mem, guest, pid) || first;
    const mm = leader === 0 ? 0 : mem.getU32(leader + Thread.mm);
    const parent = mem.getU32(guest + Guest.parent);
    const words = (at: number): number[] => Array.from({ length: 4 }, (_, i) => mem.getU32(at + i * 4));
    return {
      pid,
      // The machine's init, which is no guest, is process 1.
      parent: parent === 0 ? 1 : mem.getU32(parent + Guest.pid),
      group: mem.getU32(guest + Guest.pgid),
      session: mem.getU32(guest + Guest.sid),
      ...terminalOfLocked(mem, guest),
      zombie: mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE,
      stopped: mem.atomicLoad(mem.getU32(guest + Guest.signals) + GuestSignals.stopped) !== 0,
      tids: tids.sort((a, b) => a - b),
      comm: leader === 0 ? '' : commOf(mem, leader),
      startTime: mem.getU64(guest + Guest.startTime),
      cpu: guestCpuLocked(mem, guest),
      uids: words(guest + Guest.uids),
      gids: words(guest + Guest.gids),
      groups: groupsOf(mem, guest),
      limits: Array.from({ length: 16 }, (_, which) => getLimit(mem, guest, which)),
      pages: mm === 0 ? 0 : mem.getU32(mm + Mm.mappedPages),
      resident: mm === 0 ? 0 : Math.max(0, mem.atomicLoad(mm + Mm.residentPages)),
      residentPeak: mm === 0 ? 0 : Math.max(0, mem.atomicLoad(mm + Mm.residentPeak)),
      pagesPeak: mm === 0 ? 0 : mem.getU32(mm + Mm.mappedPeak),
      tables: mm === 0 ? 0 : tablesSize(mem, mm),
      dataPages: mm === 0 ? 0 : mem.getU32(mm + Mm.dataPages),
      lockedPages: mm === 0 ? 0 : mem.getU32(mm + Mm.lockedPages),
      signals: leader === 0 ? [] : signalSets(mem, guest, leader),
      capabilities: capabilitiesOf(mem, guest),
      bounding: singleSet(mem, guest, Guest.boundingSet),
      ambient: singleSet(mem, guest, Guest.ambientSet),
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

function renderStatus(t: ThreadContext, pid: number, tid: number): string {
  const p = processOf(t, pid);
  const comm = threadComm(t, pid, tid) ?? p.comm;
  const kib = (name: string, value: number): string =>
    `${name}:\t${String(Math.floor(value)).padStart(8)} kB\n`;
  const own = withProcess(t, pid, addressSpaceFigures);
  const rss =
    own === undefined
      ? residentKib(t.mem, p.resident)
      : (own.residentAnonymous + own.residentFile + own.residentShared) * 4;
  const [pending, shared, blocked, ignored, caught] = p.signals;
  const caps = p.capabilities;
  const cpus = Math.max(1, t.mem.getU32(MACHINE + Machine.cpuCount));
  return (
    `Name:\t${comm}\nUmask:\t${t.mem
      .getU32(t.fs + Fs.umask)
      .toString(8)
      .padStart(4, '0')}\n` +
    `State:\t${stateOf(t, p, tid)}\nTgid:\t${pid}\nNgid:\t0\nPid:\t${tid}\nPPid:\t${p.parent}\nTracerPid:\t0\n` +
    `Uid:\t${p.uids.join('\t')}\nGid:\t${p.gids.join('\t')}\nFDSize:\t64\nGroups:\t${p.groups.map((group) => `${group} `).join('')}\n` +
    `NStgid:\t${pid}\nNSpid:\t${tid}\nNSpgid:\t${p.group}\nNSsid:\t${p.session}\nKthread:\t0\n` +
    kib('VmPeak', Math.max(p.pages, p.pagesPeak) * 4) +
    kib('VmSize', p.pages * 4) +
    kib('VmLck', p.lockedPages * 4) +
    kib('VmPin', 0) +
    kib('VmHWM', Math.max(rss, residentKib(t.mem, p.residentPeak))) +
    kib('VmRSS', rss) +
    kib('RssAnon', own === undefined ? rss : own.residentAnonymous * 4) +
    kib('RssFile', (own?.residentFile ?? 0) * 4) +
    kib('RssShmem', (own?.residentShared ?? 0) * 4) +
    kib('VmData', (own === undefined ? p.dataPages : own.data - own.stack) * 4) +
    kib('VmStk', (own?.stack ?? 0) * 4) +
    kib('VmExe', (own?.text ?? 0) * 4) +
    kib('VmLib', (own?.library ?? 0) * 4) +
    kib('VmPTE', p.tables / 1024) +
    kib('VmSwap', 0) +
    kib('HugetlbPages', 0) +
    'CoreDumping:\t0\nTHP_enabled:\t0\n' +
    `Threads:\t${p.tids.length}\nSigQ:\t0/4096\nSigPnd:\t${pending}\nShdPnd:\t${shared}\nSigBlk:\t${blocked}\n` +
    `SigIgn:\t${ignored}\nSigCgt:\t${caught}\nCapInh:\t${hex64(...caps.inheritable)}\nCapPrm:\t${hex64(...caps.permitted)}\nCapEff:\t${hex64(...caps.effective)}\n` +
    `CapBnd:\t${hex64(...p.bounding)}\nCapAmb:\t${hex64(...p.ambient)}\nNoNewPrivs:\t${p.noNewPrivileges}\nSeccomp:\t0\nSeccomp_filters:\t0\n` +
    `Cpus_allowed:\t${((1 << Math.min(cpus, 31)) - 1).toString(16)}\n` +
    `Cpus_allowed_list:\t${cpus === 1 ? '0' : `0-${cpus - 1}`}\nMems_allowed:\t1\nMems_allowed_list:\t0\n` +
    'voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n'
  );
}

function renderStat(t: ThreadContext, pid: number, tid: number): string {
  const { mem } = t;
  const p = processOf(t, pid);
  const comm = threadComm(t, pid, tid) ?? p.comm;
  const cpu = tid === pid ? p.cpu : threadTime(t, pid, tid);
  const ticks = Math.floor(cpu / 10);
  const own = pid === ownPid(t);
  const mm = own ? t.mm : 0;
  const address = (field: number): number => (mm === 0 ? 0 : mem.getU64(mm + field));
  const state = stateOf(t, p, tid)[0];
  const fields: (number | string)[] = [
    tid,
    `(${comm})`,
    state,
    p.parent,
    p.group,
    p.session,
    p.terminal,
    p.foreground,
    4194304,
    0,
    0,
    0,
    0,
    ticks,
    0,
    0,
    0,
    20,
    0,
    p.tids.length,
    0,
    startTicks(mem, p.startTime),
    p.pages * 4096,
    Math.floor(residentKib(mem, p.resident) / 4),
    '18446744073709551615',
    address(Mm.startCode),
    address(Mm.endCode),
    address(Mm.startStack),
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    17,
    0,
    0,
    0,
    0,
    0,
    0,
    address(Mm.startData),
    address(Mm.endData),
    address(Mm.startBrk),
    address(Mm.argStart),
    address(Mm.argEnd),
    address(Mm.envStart),
    address(Mm.envEnd),
    0,
  ];
  return `${fields.join(' ')}\n`;
}

function renderStatm(t: ThreadContext, pid: number): string {
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

function renderLimits(t: ThreadContext, pid: number): string {
  const { limits } = processOf(t, pid);
  const show = (value: number): string => (value >= RLIM_INFINITY ? 'unlimited' : String(value)).padEnd(21);
  let out = `${'Limit'.padEnd(26)}${'Soft Limit'.padEnd(21)}${'Hard Limit'.padEnd(21)}Units     \n`;
  LIMIT_NAMES.forEach(([name, unit], i) => {
    out += `${name.padEnd(26)}${show(limits[i][0])}${show(limits[i][1])}${unit.padEnd(10)}\n`;
  });
  return out;
}

function ownPid(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.pid);
}

/**
 * The bytes of a guest's memory between two addresses kept in its Mm. Another guest's threads do not wait for us when they
 * take pages away; its mmap mutex keeps them from unmapping meanwhile.
 */
function renderMemory(t: ThreadContext, pid: number, from: number, to: number): string {
  const text = withProcess(t, pid, (process) => {
    const start = t.mem.getU64(process.mm + from);
    const length = Math.min(Math.max(0, t.mem.getU64(process.mm + to) - start), 1 << 21);
    const bytes = Buffer.alloc(length);
    mmapLock(process);
    try {
      copyIn(process, start, bytes);
    } finally {
      mmapUnlock(process);
    }
    return bytes.toString('latin1');
  });
  return text ?? '';
}

/** /proc/PID/auxv: as given to the program. */
function renderAuxv(t: ThreadContext, pid: number): string {
  const text = withProcess(t, pid, ({ mem, mm }) => {
    const auxv = mem.getU32(mm + Mm.auxv);
    if (auxv === 0) return '';
    const length = mem.getU32(mm + Mm.auxvLength);
    return Buffer.from(mem.u8.slice(auxv, auxv + length)).toString('latin1');
  });
  return text ?? '';
}

/** Sums of a process's threads, or the counts of one: rchar, wchar, syscr, syscw. */
function ioCounts(t: ThreadContext, pid: number, tid: number): number[] {
  const { mem } = t;
  const counts = (at: number): number[] => [0, 8, 16, 24].map((field) => mem.getU64(at + field));
  return (
    withProcessRecord(t, pid, (guest) => {
      if (tid !== pid) {
        const thread = threadByTidLocked(mem, guest, tid);
        return thread === 0 ? undefined : counts(thread + Thread.io);
      }
      const sums = counts(guest + Guest.io);
      for (
        let thread = mem.getU32(guest + Guest.threads);
        thread !== 0;
        thread = mem.getU32(thread + Thread.nextInGuest)
      )
        counts(thread + Thread.io).forEach((count, i) => {
          sums[i] += count;
        });
      return sums;
    }) ?? [0, 0, 0, 0]
  );
}

/** /proc/PID/io. What of it the host's disks see is not known. */
function renderIo(t: ThreadContext, pid: number, tid: number): string {
  const [rchar, wchar, syscr, syscw] = ioCounts(t, pid, tid);
  return `rchar: ${rchar}\nwchar: ${wchar}\nsyscr: ${syscr}\nsyscw: ${syscw}\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n`;
}

/** /proc/PID/sched, those of its lines that are known. */
function renderSched(t: ThreadContext, pid: number, tid: number): string {
  const comm = threadComm(t, pid, tid) ?? '';
  const facts = withProcessRecord(t, pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    if (thread === 0) return undefined;
    return {
      threads: t.mem.getI32(guest + Guest.threadCount),
      policy: t.mem.getU32(thread + Thread.schedulingPolicy) & 0xffff,
      priority: t.mem.getU32(thread + Thread.schedulingPriority),
      niceness: t.mem.getI32(thread + Thread.niceness),
      cpu: threadCpu(t.mem, thread),
    };
  });
  if (facts === undefined) return '';
  const line = (name: string, value: string): string => `${name.padEnd(45)}:${value.padStart(21)}\n`;
  const realtime = facts.policy === 1 || facts.policy === 2;
  return (
    `${comm} (${tid}, #threads: ${facts.threads})\n${'-'.repeat(67)}\n` +
    line('se.sum_exec_runtime', facts.cpu.toFixed(6)) +
    line('policy', String(facts.policy)) +
    line('prio', String(realtime ? 99 - facts.priority : 120 + facts.niceness))
  );
}

function timerSlack(t: ThreadContext, pid: number, tid: number): number {
  const own = withProcessRecord(t, pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    return thread === 0 ? 0 : t.mem.getU32(thread + Thread.timerSlack);
  });
  return own || DEFAULT_TIMERSLACK;
}

function threadComm(t: ThreadContext, pid: number, tid: number): string | undefined {
  return withProcessRecord(t, pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    return thread === 0 ? undefined : commOf(t.mem, thread);
  });
}

function threadTime(t: ThreadContext, pid: number, tid: number): number {
  return (
    withProcessRecord(t, pid, (guest) => {
      const thread = threadByTidLocked(t.mem, guest, tid);
      return thread === 0 ? 0 : threadCpu(t.mem, thread);
    }) ?? 0
  );
}

/** Writing /proc/PID/task/TID/comm names a thread of the own process. */
function storeComm(t: ThreadContext, pid: number, tid: number, name: string): number {
  withProcessRecord(t, pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    if (thread === 0) throw new SyscallError(ENOENT);
    const bytes = Buffer.alloc(16);
    bytes.write(name.replace(/\n$/, '').slice(0, 15), 'latin1');
    t.mem.u8.set(bytes, thread + Thread.comm);
  });
  return name.length;
}

/** Writing /proc/PID/oom_score_adj: kept and told, no more; only the privileged may lower it. */
function storeOomScoreAdj(t: ThreadContext, pid: number, text: string): number {
  const value = text.trim();
  if (!/^[+-]?\d{1,9}$/.test(value) || Math.abs(Number(value)) > 1000) throw new SyscallError(EINVAL);
  withProcessRecord(t, pid, (guest) => {
    const place = guest + Guest.oomScoreAdj;
    if (Number(value) < t.mem.atomicLoad(place) && !capable(t, CAP_SYS_RESOURCE))
      throw new SyscallError(EACCES);
    t.mem.atomicStore(place, Number(value));
  });
  return text.length;
}

function renderFdInfo(t: ThreadContext, pid: number, fd: number): string {
  const text = withProcess(t, pid, ({ files }) => fdInfo(t, files, fd));
  if (text === undefined) throw new SyscallError(ENOENT);
  return text;
}

function fdInfo(t: ThreadContext, files: number, fd: number): string {
  const file = acquireFile(t.mem, files, fd, t.thread);
  if (file === 0) throw new SyscallError(ENOENT);
  try {
    const closeOnExec = getCloseOnExec(t.mem, files, fd, t.thread) ? 0o2000000 : 0;
    const flags = (flagsOf(t.mem, file) | closeOnExec) >>> 0;
    return `pos:\t${t.mem.getU64(file + OpenFile.offset)}\nflags:\t0${flags.toString(8)}\nmnt_id:\t1\nino:\t${t.mem.getU32(file + OpenFile.id)}\n`;
  } finally {
    releaseOpenFile(t.mem, file, t.thread);
  }
}

/** /proc/self/fd/N: a link that leads to the very file that is open. */
function descriptorLink(pid: number, fd: number): MadeNode {
  const path = `/proc/${pid}/fd/${fd}`;
  const withFile = <T>(t: ThreadContext, body: (file: number) => T): T => {
    const file = withProcess(t, pid, ({ files }) => acquireFile(t.mem, files, fd, t.thread)) ?? 0;
    if (file === 0) throw new SyscallError(ENOENT);
    try {
      return body(file);
    } finally {
      releaseOpenFile(t.mem, file, t.thread);
    }
  };
  return madeLink(
    path,
    DEV_PROC,
    (t) => withFile(t, (file) => currentPath(t, file)),
    (t) =>
      withFile(t, (file) => {
        const kind = t.mem.getU32(file + OpenFile.kind);
        // Directories and devices are found again by their paths.
        if (kind === FILE_HOST_DIRECTORY || kind === FILE_MADE_DIRECTORY || kind === FILE_DEVICE)
          return undefined;
        // What is no file of the host is opened by its descriptor, which another process does not have.
        if (pid !== ownPid(t) && (kind !== FILE_HOST || !hasProcFd)) throw new SyscallError(EACCES);
        if (kind !== FILE_HOST || !hasProcFd) return { kind: 'opened', path: pathOf(t.mem, file), fd };
        const hostFd = t.mem.getI32(t.mem.getU32(file + OpenFile.hostFile) + HostFile.hostFd);
        return {
          kind: 'host',
          path: pathOf(t.mem, file),
          mount: {
            guest: pathOf(t.mem, file),
            host: `/proc/self/fd/${hostFd}`,
            readOnly: (t.mem.getU32(file + OpenFile.attributes) & 2) !== 0,
            file: true,
          },
          hostPath: `/proc/self/fd/${hostFd}`,
          stats: fstatHost(hostFd),
          reopened: true,
        };
      }),
  );
}

function descriptorsDirectory(path: string, pid: number, entry: (fd: number) => MadeNode): MadeNode {
  return madeDirectory(
    path,
    DEV_PROC,
    (t) => withProcess(t, pid, ({ files }) => listDescriptors(t.mem, files, t.thread).map(String)) ?? [],
    (t, name) => {
      if (!/^\d{1,7}$/.test(name)) return undefined;
      const file = withProcess(t, pid, ({ files }) => acquireFile(t.mem, files, Number(name), t.thread)) ?? 0;
      if (file === 0) return undefined;
      releaseOpenFile(t.mem, file, t.thread);
      return entry(Number(name));
    },
  );
}

/** A process, or one of its threads, as /proc has it at `path`. */
interface Task {
  readonly path: string;
  readonly pid: number;
  readonly tid: number;
}

type TaskEntry = (task: Task, name: string) => MadeNode;

const taskText =
  (render: (t: ThreadContext, task: Task) => string, mode = 0o444): TaskEntry =>
  (task, name) =>
    madeText(`${task.path}/${name}`, DEV_PROC, (t) => render(t, task), mode);

const taskLink =
  (target: (t: ThreadContext, task: Task) => string): TaskEntry =>
  (task, name) =>
    madeLink(
      `${task.path}/${name}`,
      DEV_PROC,
      (t) => target(t, task),
      () => undefined,
    );

/** There is one user namespace. */
const ID_MAP = '         0          0 4294967295\n';

/** What a process and each of its threads have in common; a node is made when it is looked up. */
const taskEntries: Readonly<Record<string, TaskEntry>> = {
  stat: taskText((t, { pid, tid }) => renderStat(t, pid, tid)),
  status: taskText((t, { pid, tid }) => renderStatus(t, pid, tid)),
  statm: taskText((t, { pid }) => renderStatm(t, pid)),
  comm: (task, name) => ({
    ...taskText((t, { pid, tid }) => `${threadComm(t, pid, tid) ?? ''}\n`, 0o644)(task, name),
    store: (t, text) => storeComm(t, task.pid, task.tid, text),
  }),
  maps: taskText(
    (t, { pid }) =>
      withProcess(t, pid, (held) => formatMaps(held, (file) => currentMappedPath(t, file))) ?? '',
  ),
  smaps: taskText(
    (t, { pid }) =>
      withProcess(t, pid, (held) => formatSmaps(held, (file) => currentMappedPath(t, file))) ?? '',
  ),
  smaps_rollup: taskText((t, { pid }) => withProcess(t, pid, formatSmapsRollup) ?? ''),
  cmdline: taskText((t, { pid }) => renderMemory(t, pid, Mm.argStart, Mm.argEnd)),
  environ: taskText((t, { pid }) => renderMemory(t, pid, Mm.envStart, Mm.envEnd), 0o400),
  auxv: taskText((t, { pid }) => renderAuxv(t, pid), 0o400),
  limits: taskText((t, { pid }) => renderLimits(t, pid)),
  mounts: taskText(renderMounts),
  mountinfo: taskText(renderMountInfo),
  cgroup: taskText(() => '0::/\n'),
  oom_score: taskText(() => '0\n'),
  oom_score_adj: (task, name) => ({
    ...taskText(
      (t, { pid }) =>
        `${withProcessRecord(t, pid, (guest) => t.mem.atomicLoad(guest + Guest.oomScoreAdj)) ?? 0}\n`,
      0o644,
    )(task, name),
    store: (t, value) => storeOomScoreAdj(t, task.pid, value),
  }),
  personality: taskText((t, { pid }) => {
    const value = withProcessRecord(t, pid, (guest) => t.mem.getU32(guest + Guest.personality)) ?? 0;
    return `${value.toString(16).padStart(8, '0')}\n`;
  }),
  schedstat: taskText((t, { pid, tid }) => `${Math.floor(threadTime(t, pid, tid) * 1e6)} 0 0\n`),
  coredump_filter: taskText(() => '00000033\n'),
  loginuid: taskText(() => '4294967295'),
  sessionid: taskText(() => '4294967295'),
  setgroups: taskText(() => 'allow\n'),
  uid_map: taskText(() => ID_MAP),
  gid_map: taskText(() => ID_MAP),
  projid_map: taskText(() => ID_MAP),
  wchan: taskText(() => '0'),
  io: taskText((t, { pid, tid }) => renderIo(t, pid, tid), 0o400),
  sched: taskText((t, { pid, tid }) => renderSched(t, pid, tid)),
  timerslack_ns: taskText((t, { pid, tid }) => `${timerSlack(t, pid, tid)}\n`, 0o666),
  ns: ({ path }) => namespacesDirectory(`${path}/ns`),
  exe: taskLink(
    (t, { pid }) => withProcess(t, pid, ({ mem, mm }) => textString(mem, mem.getU32(mm + Mm.exe))) ?? '',
  ),
  cwd: taskLink(
    (t, { pid }) => withProcess(t, pid, ({ mem, fs }) => workingDirectory(mem, fs, t.thread)) ?? '',
  ),
  root: taskLink(
    (t, { pid }) => withProcess(t, pid, ({ mem, fs }) => rootDirectory(mem, fs, t.thread)) ?? '',
  ),
  fd: ({ path, pid }) => descriptorsDirectory(`${path}/fd`, pid, (fd) => descriptorLink(pid, fd)),
  fdinfo: ({ path, pid }) =>
    descriptorsDirectory(`${path}/fdinfo`, pid, (fd) =>
      madeText(`${path}/fdinfo/${fd}`, DEV_PROC, (t) => renderFdInfo(t, pid, fd)),
    ),
};

/** What only a process has. */
const processEntries: Readonly<Record<string, TaskEntry>> = {
  ...taskEntries,
  task: ({ path, pid }) =>
    madeDirectory(
      `${path}/task`,
      DEV_PROC,
      (caller) => processOf(caller, pid).tids.map(String),
      (caller, name) => {
        const tid = Number(name);
        if (!/^\d{1,10}$/.test(name) || threadComm(caller, pid, tid) === undefined) return undefined;
        return taskDirectory({ path: `${path}/task/${tid}`, pid, tid }, taskEntries);
      },
    ),
  net: ({ path }) => netDirectory(`${path}/net`),
};

function taskDirectory(task: Task, entries: Readonly<Record<string, TaskEntry>>): MadeNode {
  // What is in there belongs to the process's effective user and group (task_dump_owner): to root where it is not for him.
  const user = (t: ThreadContext): readonly [number, number] =>
    withProcessRecord(t, task.pid, (guest) => [
      t.mem.getU32(guest + Guest.uids + 4),
      t.mem.getU32(guest + Guest.gids + 4),
    ]) ?? [0, 0];
  const owner = (t: ThreadContext): readonly [number, number] =>
    withProcess(t, task.pid, ({ mem, mm }) => mem.getU32(mm + Mm.dumpable)) === 1 ? user(t) : [0, 0];
  const directory = madeDirectory(
    task.path,
    DEV_PROC,
    () => Object.keys(entries),
    (_t, name) => (Object.hasOwn(entries, name) ? { ...entries[name](task, name), owner } : undefined),
  );
  return { ...directory, owner: user };
}

/** The directory of process `pid`; undefined when there is none. */
export function processDirectory(t: ThreadContext, pid: number): MadeNode | undefined {
  if (pid !== ownPid(t) && withProcessRecord(t, pid, () => true) === undefined) return undefined;
  return taskDirectory({ path: `/proc/${pid}`, pid, tid: pid }, processEntries);
}
