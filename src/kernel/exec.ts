import { buildFreebsdStack } from '../loader/freebsdStack.js';
import { buildInitialStack, checkArguments } from '../loader/initialStack.js';
import { LoadError } from '../loader/loadError.js';
import {
  mapProgram,
  missingInterpreter,
  type PreparedProgram,
  prepareProgram,
} from '../loader/loadProgram.js';
import { parseScript, SCRIPT_HEAD_BYTES } from '../loader/script.js';
import { UserFault } from '../memory/caller.js';
import { keepFile } from '../memory/keptFiles.js';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ } from '../memory/linuxMemory.js';
import { translate } from '../memory/userAccess.js';
import { type PackedStrings, packStrings, unpackStrings } from '../memory/userStrings.js';
import { createMm, releaseMm } from '../mm/addressSpace.js';
import { useFreebsdMap } from '../mm/freebsd/freebsdAddressSpace.js';
import { targetPageSize } from '../mm/pageRange.js';
import { targetMmap } from '../mm/targetMmap.js';
import { reportMapAtStart } from '../observe/mapReport.js';
import { logPageLayout } from '../observe/pageLog.js';
import { allocateBlock, freeBlock, OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { park, parkTicket, unpark } from '../sync/park.js';
import { pointer, record, u32 } from '../sync/record.js';
import { Cred } from '../sync/records/cred.js';
import { FLAVOUR_FREEBSD, FLAVOUR_LINUX, GUEST_RUNNING, Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { Sighand, ThreadSignals } from '../sync/records/signals.js';
import { ATTENTION_EXIT, NO_RESERVATION, Thread } from '../sync/records/thread.js';
import { addThread, removeThread } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { allocateText, freeText, textBytes } from '../sync/text.js';
import { capabilitiesForExec } from './capabilities.js';
import { becomeFirst } from './credentials.js';
import { EACCES, EINTR, ELOOP, ENOENT, ENOEXEC, ENOMEM, errnoText, SyscallError } from './errno.js';
import { exitGroup, leaveAddressSpace, noteAddressSpace, setGuestText } from './exit.js';
import { keepChildren } from './family.js';
import { type ExecutableFile, openExecutable, setExecutable } from './files/executable.js';
import { filesForExec } from './files/filesTable.js';
import { leaveProcessId } from './files/pidFd.js';
import { FREEBSD_SIGCODE } from './freebsd/signalFrame.js';
import { OSRELDATE } from './freebsd/version.js';
import { ownLocksAgain } from './futexPi.js';
import {
  getLimit,
  orderExitLocked,
  RLIMIT_AS,
  RLIMIT_DATA,
  RLIMIT_MEMLOCK,
  RLIMIT_STACK,
} from './guestRecords.js';
import { SS_DISABLE } from './linux/structsSignal.js';
import { placementOf } from './placement.js';
import { randomBytes } from './random.js';
import { keepUndoList } from './semaphoreUndos.js';
import { VDSO_RT_SIGRETURN } from './signals/signalFrame.js';
import { SIGCHLD, SIGKILL } from './signals/signalNumbers.js';
import type { ThreadContext } from './threadContext.js';
import { copySighand, releaseSighand, resetHandlers } from './threadRecords.js';
import { deleteTimers } from './timers.js';

/** What a program is started with. Strings are bytes without NUL. */
export interface ExecArguments {
  /** Guest path of the program. */
  readonly path: Uint8Array;
  readonly argv: readonly Uint8Array[];
  readonly envp: PackedStrings;
  /** Descriptor that a relative path starts at; default AT_FDCWD. */
  readonly dirfd?: number;
  /** The path as the program and a script's interpreter are told of it; default `path`. */
  readonly shownPath?: Uint8Array;
  /** The program is named by a descriptor that does not survive: a script cannot be run then (ENOENT). */
  readonly closedByExec?: boolean;
  /** A symbolic link is not followed (ELOOP). */
  readonly noFollow?: boolean;
}

/** What the first program of a guest is started with. */
export interface StartArguments extends Pick<ExecArguments, 'path' | 'argv'> {
  readonly envp: readonly Uint8Array[];
}

/** An exec request in shared memory: Thread.execRequest of a thread that begins with START_EXEC. */
const ExecRequest = record({
  argc: u32,
  envc: u32,
  /** Text: path, arguments and environment, each ended by NUL. */
  strings: pointer,
});

/** How many interpreters a script may go through (fs/exec.c). */
const MAX_SCRIPTS = 5;

/** Stores the arguments in shared memory; `takeExecRequest` frees them. */
export function storeExecRequest(mem: SharedMemory, request: StartArguments, owner: number): number {
  const { bytes } = packStrings([request.path, ...request.argv, ...request.envp]);
  const block = allocateBlock(mem, ExecRequest.SIZE, owner);
  mem.setU32(block + ExecRequest.argc, request.argv.length);
  mem.setU32(block + ExecRequest.envc, request.envp.length);
  mem.setU32(block + ExecRequest.strings, allocateText(mem, bytes, owner));
  return block;
}

function takeExecRequest(mem: SharedMemory, block: number, owner: number): ExecArguments {
  const bytes = textBytes(mem, mem.getU32(block + ExecRequest.strings));
  const argc = mem.getU32(block + ExecRequest.argc);
  const envc = mem.getU32(block + ExecRequest.envc);
  const [path, ...argv] = unpackStrings({ count: 1 + argc, bytes });
  const last = argv.at(-1) ?? path;
  const envp = { count: envc, bytes: bytes.subarray(last.byteOffset + last.length + 1 - bytes.byteOffset) };
  freeText(mem, mem.getU32(block + ExecRequest.strings), owner);
  freeBlock(mem, block, owner);
  return { path, argv, envp };
}

/**
 * The first thing a guest's first thread does: loads the program into the empty address space. When that fails the
 * guest ends with Guest.execErrno and Guest.execMessage, and the answer is false.
 */
export function startProgram(t: ThreadContext): boolean {
  const { mem, thread, guest } = t;
  const request = takeExecRequest(mem, mem.getU32(thread + Thread.execRequest), thread);
  mem.setU32(thread + Thread.execRequest, 0);
  try {
    const program = openProgram(t, request);
    const image = buildImage(t, program);
    if (reportMapAtStart(t)) {
      exitGroup(t, 0);
      return false;
    }
    enterImage(t, program, image);
    return true;
  } catch (error) {
    const { errno, message } = reasonOf(error);
    setGuestText(mem, guest, Guest.execMessage, Guest.execMessageLength, message, thread);
    mem.setU32(guest + Guest.execErrno, errno);
    exitGroup(t, (errno === ENOENT ? 127 : 126) << 8);
    return false;
  }
}

/** Why a program could not be loaded. What is no fault of the program's is thrown on. */
function reasonOf(error: unknown): { errno: number; message: string } {
  if (error instanceof LoadError) return error;
  if (error instanceof SyscallError) return { errno: error.errno, message: errnoText(error.errno) };
  if (error instanceof OutOfKernelMemory || error instanceof UserFault)
    return { errno: ENOMEM, message: errnoText(ENOMEM) };
  throw error;
}

/**
 * execve(2): the calling thread goes on as another program. The new address space is complete before anything of the guest
 * changes, so that a failing exec leaves the caller whole; throws SyscallError then.
 */
export function execProgram(t: ThreadContext, request: ExecArguments): void {
  const { mem, thread } = t;
  const old = t.mm;
  let program: OpenedProgram;
  let image: Image;
  let fresh = 0;
  try {
    program = openProgram(t, request);
    fresh = emptyLike(t);
    // What is mapped and written from here on is the new program's.
    t.mm = fresh;
    image = buildImage(t, program);
  } catch (error) {
    t.mm = old;
    if (fresh !== 0) releaseMm(mem, fresh, thread);
    throw new SyscallError(reasonOf(error).errno);
  }
  t.mm = old;
  if (!endOtherThreads(t)) {
    releaseMm(mem, fresh, thread);
    throw new SyscallError(EINTR);
  }
  // The point of no return.
  leaveAddressSpace(t);
  removeThread(mem, thread, thread);
  addThread(mem, fresh, thread, thread);
  noteAddressSpace(t);
  t.mm = fresh;
  releaseMm(mem, old, thread);
  t.registersReplaced = true;
  mem.setI32(thread + Thread.syscall, -1);
  try {
    renewProcess(t);
    enterImage(t, program, image);
  } catch (error) {
    // There is no program to go back to.
    if (!(error instanceof OutOfKernelMemory)) throw error;
    exitGroup(t, SIGKILL);
  }
}

/** An empty address space with the limits of the caller's. */
function emptyLike(t: ThreadContext): number {
  const { mem, guest } = t;
  const mm = createMm(mem, t.thread, {
    taskSize: mem.getU64(t.mm + Mm.taskSize),
    pageSize: targetPageSize(t),
    limitAs: getLimit(mem, guest, RLIMIT_AS)[0],
    limitData: getLimit(mem, guest, RLIMIT_DATA)[0],
    limitStack: getLimit(mem, guest, RLIMIT_STACK)[0],
    limitMemlock: getLimit(mem, guest, RLIMIT_MEMLOCK)[0],
    ...placementOf(mem, t.options),
    extensions: mem.getU32(t.mm + Mm.extensions),
    memoryTree: mem.getU32(t.mm + Mm.memoryTree),
  });
  mem.setI32(mm + Mm.frameLimit, mem.getI32(t.mm + Mm.frameLimit));
  return mm;
}

/**
 * de_thread: the guest's other threads end, and the caller takes the guest's pid as its id. False when the guest is ending
 * itself, or another thread is in execve already: the caller must exit.
 */
function endOtherThreads(t: ThreadContext): boolean {
  const { mem, guest, thread } = t;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  const goes = mem.atomicLoad(guest + Guest.phase) === GUEST_RUNNING && !isOrderedToExit(t);
  if (goes) {
    mem.setU32(guest + Guest.execThread, thread);
    orderExitLocked(mem, guest, thread, (other) => unpark(mem, other));
  }
  unlockMutex(mem, guest + Guest.threadsLock, thread);
  if (!goes) return false;
  let alone = false;
  while (!alone && !isOrderedToExit(t)) {
    const ticket = parkTicket(mem, thread);
    alone = mem.atomicLoad(guest + Guest.threadCount) === 1;
    if (!alone) park(mem, thread, ticket);
  }
  lockMutex(mem, guest + Guest.threadsLock, thread);
  mem.setU32(guest + Guest.execThread, 0);
  const before = t.tid;
  if (alone) mem.setU32(thread + Thread.tid, mem.getU32(guest + Guest.pid));
  unlockMutex(mem, guest + Guest.threadsLock, thread);
  if (t.tid !== before) {
    leaveProcessId(mem, thread + Thread.processId, thread);
    becomeFirst(t);
    keepUndoList(t);
    keepChildren(t);
  }
  return alone;
}

function isOrderedToExit({ mem, thread }: ThreadContext): boolean {
  return (mem.atomicLoad(thread + Thread.attention) & ATTENTION_EXIT) !== 0;
}

/** What of a process does not survive execve(2); the caller is its only thread. */
function renewProcess(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  // Out of the record while it may be given up: see noteAddressSpace.
  withMutex(mem, guest + Guest.threadsLock, thread, () => mem.setU32(thread + Thread.files, 0));
  mem.setU32(thread + Thread.files, filesForExec(mem, t.files, thread));
  const old = t.sighand;
  if (mem.atomicLoad(old + Sighand.refs) > 1) {
    const own = copySighand(mem, old, thread);
    lockMutex(mem, guest + Guest.threadsLock, thread);
    mem.setU32(thread + Thread.sighand, own);
    mem.setU32(guest + Guest.sighand, own);
    unlockMutex(mem, guest + Guest.threadsLock, thread);
    releaseSighand(mem, old, thread);
  }
  t.reload();
  withMutex(mem, t.sighand + Sighand.lock, thread, () => resetHandlers(mem, t.sighand));
  const { signals } = t;
  mem.set64(signals + ThreadSignals.altStack, 0);
  mem.set64(signals + ThreadSignals.altSize, 0);
  mem.setU32(signals + ThreadSignals.altFlags, SS_DISABLE);
  mem.setU32(signals + ThreadSignals.restoreSaved, 0);
  deleteTimers(mem, guest, thread, true);
  mem.set64(thread + Thread.robustList, 0);
  mem.set64(thread + Thread.clearChildTid, 0);
  ownLocksAgain(t);
  mem.setU32(guest + Guest.exitSignal, SIGCHLD);
  mem.setU32(guest + Guest.hasExeced, 1);
}

/** A program that may be loaded: opened, checked, with its final arguments. */
interface OpenedProgram extends ExecArguments {
  readonly files: readonly ExecutableFile[];
  readonly prepared: PreparedProgram;
  /** The file that /proc/self/exe names. */
  readonly executable: ExecutableFile;
  readonly ids: ExecIds;
}

/** The effective ids that a program runs with. */
interface ExecIds {
  readonly user: number;
  readonly group: number;
  /** They are other ones than before. */
  readonly changed: boolean;
  /** AT_SECURE: whoever started the program is not to be trusted by it. */
  readonly secure: boolean;
}

/** What a program's set-id bits make of the effective ids (bprm_fill_uid). */
function idsForExec({ mem, guest, cred }: ThreadContext, { status }: ExecutableFile): ExecIds {
  const before = { user: mem.getU32(cred + Cred.uids + 4), group: mem.getU32(cred + Cred.gids + 4) };
  const bits = mem.getU32(guest + Guest.noNewPrivileges) !== 0 ? 0 : status.mode;
  const user = bits & 0o4000 ? status.uid : before.user;
  const group = (bits & 0o2010) === 0o2010 ? status.gid : before.group;
  const changed = user !== before.user || group !== before.group;
  return { user, group, changed, secure: changed || (mem.getU32(cred + Cred.uids) !== 0 && user === 0) };
}

/** Takes the ids that the program has; the saved and the filesystem ids follow the effective ones. */
function takeIds({ mem, guest, cred, mm }: ThreadContext, { user, group, changed, secure }: ExecIds): void {
  for (const which of [4, 8, 12]) {
    mem.setU32(cred + Cred.uids + which, user);
    mem.setU32(cred + Cred.gids + which, group);
  }
  capabilitiesForExec(mem, cred, changed);
  if (secure) {
    mem.setU32(guest + Guest.parentDeathSignal, 0);
    mem.setU32(mm + Mm.dumpable, 0);
  }
}

/**
 * Opens the program, going through `#!` lines, and checks it; nothing of the guest changes. Throws LoadError and
 * SyscallError.
 */
function openProgram(t: ThreadContext, request: ExecArguments): OpenedProgram {
  const files: ExecutableFile[] = [];
  try {
    let { path } = request;
    let shown = request.shownPath ?? path;
    let argv = [...request.argv];
    for (let depth = 0; ; depth++) {
      const file =
        depth === 0 ? openExecutable(t, path, request.dirfd, request.noFollow) : openExecutable(t, path);
      files.push(file);
      const head = new Uint8Array(Math.min(SCRIPT_HEAD_BYTES, file.size));
      const script = parseScript(head.subarray(0, file.read(0, head)));
      if (script === undefined) {
        if (depth > 0 && head.length >= 2 && head[0] === 0x23 && head[1] === 0x21)
          throw new SyscallError(ENOEXEC);
        const page = targetPageSize(t);
        checkArguments(argv, request.envp, stackLimit(t), page);
        const open = (interpreter: Uint8Array) => {
          const opened = openInterpreter(t, interpreter);
          files.push(opened);
          return opened;
        };
        const prepared = prepareProgram(file, open, page);
        return {
          path: request.shownPath ?? request.path,
          argv,
          envp: request.envp,
          files,
          prepared,
          executable: file,
          ids: idsForExec(t, file),
        };
      }
      // The interpreter could not open what is closed by then.
      if (depth === 0 && request.closedByExec === true) throw new SyscallError(ENOENT);
      if (depth === MAX_SCRIPTS) throw new SyscallError(ELOOP);
      // The script's own name replaces argv[0] and becomes the interpreter's argument.
      argv = [
        script.interpreter,
        ...(script.argument !== undefined ? [script.argument] : []),
        shown,
        ...argv.slice(1),
      ];
      path = script.interpreter;
      shown = path;
    }
  } catch (error) {
    for (const file of files) file.release();
    throw error;
  }
}

function openInterpreter(t: ThreadContext, path: Uint8Array): ExecutableFile {
  try {
    return openExecutable(t, path);
  } catch (error) {
    if (error instanceof SyscallError && (error.errno === ENOENT || error.errno === EACCES))
      throw missingInterpreter(path);
    throw error;
  }
}

function stackLimit(t: ThreadContext): number {
  return getLimit(t.mem, t.guest, RLIMIT_STACK)[0];
}

/** Where a loaded program starts. */
interface Image {
  readonly sp: number;
  readonly entry: number;
  /** FLAVOUR_*, and for FreeBSD the address of argc, which a0 holds. */
  readonly flavour: number;
  readonly argumentsAt: number;
}

/** Maps the program into `t.mm`, which is empty, and makes its stack. Closes the files. */
function buildImage(t: ThreadContext, program: OpenedProgram): Image {
  const { mem } = t;
  try {
    const { freebsd } = program.prepared.image;
    if (freebsd) useFreebsdMap(mem, t.mm);
    const loaded = mapProgram(t, program.prepared);
    mapTrampoline(t, freebsd ? FREEBSD_SIGCODE : VDSO_RT_SIGRETURN);
    const stackRequest = {
      program: loaded,
      argv: program.argv,
      envp: program.envp,
      execfn: program.path,
      stackSize: stackLimit(t),
      random: randomBytes(mem, 16),
      uid: mem.getU32(t.cred + Cred.uids),
      euid: program.ids.user,
      gid: mem.getU32(t.cred + Cred.gids),
      egid: program.ids.group,
      secure: program.ids.secure,
    };
    let sp: number;
    let argumentsAt = 0;
    if (freebsd) {
      const cpus = mem.getU32(MACHINE + Machine.cpuCount);
      const canary = randomBytes(mem, 64);
      const request = { ...stackRequest, osreldate: OSRELDATE, cpus, canary };
      ({ sp, argumentsAt } = buildFreebsdStack(t, request));
    } else sp = buildInitialStack(t, stackRequest).sp;
    setExecutable(t, program.executable);
    // Not the scripts that come before it.
    for (const file of program.files.slice(program.files.indexOf(program.executable)))
      if (file.mapped.file !== 0) keepFile(mem, file.mapped.file, t.thread);
    if (t.options.logPage) logPageLayout(t, 'binary load');
    return {
      sp,
      entry: loaded.entry,
      flavour: freebsd ? FLAVOUR_FREEBSD : FLAVOUR_LINUX,
      argumentsAt,
    };
  } finally {
    for (const file of program.files) file.release();
  }
}

/** Sets the thread's registers and name for the program's first instruction. */
function enterImage(t: ThreadContext, program: OpenedProgram, image: Image): void {
  const { mem, thread } = t;
  takeIds(t, program.ids);
  mem.setU32(t.guest + Guest.flavour, image.flavour);
  t.reload();
  mem.zero(thread + Thread.x, 33 * 8);
  mem.zero(thread + Thread.f, 32 * 8);
  mem.setU32(thread + Thread.fflags, 0);
  mem.setU32(thread + Thread.frm, 0);
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
  mem.set64(thread + Thread.x + 2 * 8, image.sp);
  mem.set64(thread + Thread.pc, image.entry);
  if (image.flavour === FLAVOUR_FREEBSD) {
    mem.set64(thread + Thread.x + 10 * 8, image.argumentsAt);
    mem.set64(thread + Thread.x + 8, image.entry);
  }
  setComm(mem, thread, program.path);
}

/**
 * Maps the page with the signal trampoline, which /proc shows as [vdso] because Mm.vdso says where it is. It is no ELF
 * image: AT_SYSINFO_EHDR stays absent.
 */
function mapTrampoline(t: ThreadContext, code: Uint8Array): void {
  const size = targetPageSize(t);
  const at = targetMmap(t, 0, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, null, 0);
  if (at < 0) throw new SyscallError(-at);
  // Written as only the kernel can, before anything has looked at it: no other thread is in here, and the page is new.
  t.mem.u8.set(code, translate(t, at, 'read'));
  t.mem.set64(t.mm + Mm.vdso, at);
}

/** comm is the last part of the path, at most 15 bytes. */
export function setComm(mem: SharedMemory, thread: number, path: Uint8Array): void {
  const name = path.subarray(path.lastIndexOf(0x2f) + 1).subarray(0, 15);
  mem.zero(thread + Thread.comm, 16);
  mem.u8.set(name, thread + Thread.comm);
}
