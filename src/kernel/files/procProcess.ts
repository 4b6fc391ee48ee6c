import { copyIn } from '../../memory/userAccess.js';
import { mmapLock, mmapUnlock } from '../../mm/mmapLock.js';
import { formatMaps } from '../../mm/pageDump.js';
import { formatSmaps, formatSmapsRollup } from '../../mm/smaps.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { Mm } from '../../sync/records/mm.js';
import {
  FILE_DEVICE,
  FILE_HOST,
  FILE_HOST_DIRECTORY,
  FILE_MADE_DIRECTORY,
  FILE_PATH,
  OpenFile,
} from '../../sync/records/openFile.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { textString } from '../../sync/text.js';
import { CAP_SYS_RESOURCE, capable } from '../capabilities.js';
import { threadCpuLocked } from '../cpuTime.js';
import { EACCES, EINVAL, ENOENT, SyscallError } from '../errno.js';
import { threadByTidLocked } from '../guestRecords.js';
import type { ThreadContext } from '../threadContext.js';
import { DEV_PROC, S_IFMT, S_IFREG } from './fileStatus.js';
import { acquireFile, getCloseOnExec, listDescriptors } from './filesTable.js';
import { rootDirectory, workingDirectory } from './fsRecord.js';
import { type Held, ownPid, withProcess, withProcessRecord, withThreadRecord } from './heldProcess.js';
import { fstatHost, hasProcFd } from './hostAccess.js';
import { type MadeNode, madeDirectory, madeLink, madeText } from './madeNode.js';
import { namespacesDirectory } from './namespaces.js';
import { operationsOf, pathOf, releaseOpenFile, reportedFlags } from './openFile.js';
import { currentMappedPath, currentPath } from './pathResolution.js';
import { renderMountInfo, renderMounts } from './procMounts.js';
import { netDirectory } from './procNet.js';
import {
  processOf,
  renderLimits,
  renderStat,
  renderStatm,
  renderStatus,
  threadComm,
  threadTime,
} from './procStatus.js';

/** /proc/PID, of any guest of the machine. */

/** Nanoseconds. */
const DEFAULT_TIMERSLACK = 50000;

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
      cpu: threadCpuLocked(t.mem, thread),
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

/** PR_GET_TIMERSLACK of a thread: its own or, as long as it has asked for none, what its creator had. */
export function timerSlackOf(mem: SharedMemory, thread: number): number {
  return (
    mem.getU32(thread + Thread.timerSlack) ||
    mem.getU32(thread + Thread.timerSlackDefault) ||
    DEFAULT_TIMERSLACK
  );
}

function timerSlack(t: ThreadContext, pid: number, tid: number): number {
  return withThreadRecord(t, pid, tid, (thread) => timerSlackOf(t.mem, thread)) ?? 0;
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
    const flags = (reportedFlags(t.mem, file) | closeOnExec) >>> 0;
    return `pos:\t${t.mem.getU64(file + OpenFile.offset)}\nflags:\t0${flags.toString(8)}\nmnt_id:\t1\nino:\t${t.mem.getU32(file + OpenFile.id)}\n${operationsOf(t.mem, file).describe?.(t.mem, file) ?? ''}`;
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
        const hostFd =
          kind === FILE_PATH
            ? t.mem.getI32(file + OpenFile.hostFd)
            : kind === FILE_HOST && hasProcFd
              ? t.mem.getI32(t.mem.getU32(file + OpenFile.hostFile) + HostFile.hostFd)
              : -1;
        // A mere name (O_PATH) of a file leads to the file, of anything else by its path.
        if (kind === FILE_PATH && (hostFd < 0 || (Number(fstatHost(hostFd).mode) & S_IFMT) !== S_IFREG))
          return undefined;
        // What is no file of the host is opened by its descriptor, which another process does not have.
        if (hostFd < 0 && pid !== ownPid(t)) throw new SyscallError(EACCES);
        if (hostFd < 0) return { kind: 'opened', path: pathOf(t.mem, file), fd };
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

/** A link that has no target (ENOENT) where nothing is left of a process, as of a zombie. */
const taskLink =
  (target: (process: Held, t: ThreadContext) => string): TaskEntry =>
  ({ path, pid }, name) =>
    madeLink(
      `${path}/${name}`,
      DEV_PROC,
      (t) => {
        const text = withProcess(t, pid, (process) => target(process, t));
        if (text === undefined) throw new SyscallError(ENOENT);
        return text;
      },
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
    ...taskText((t, { pid, tid }) => `${threadComm(t, pid, tid) ?? processOf(t, pid).comm}\n`, 0o644)(
      task,
      name,
    ),
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
  exe: taskLink(({ mem, mm }) => textString(mem, mem.getU32(mm + Mm.exe))),
  cwd: taskLink(({ mem, fs }, t) => workingDirectory(mem, fs, t.thread)),
  root: taskLink(({ mem, fs }, t) => rootDirectory(mem, fs, t.thread)),
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
      t.mem.getU32(guest + Guest.cred + Cred.uids + 4),
      t.mem.getU32(guest + Guest.cred + Cred.gids + 4),
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
