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
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import { copyOut } from '../memory/userAccess.js';
import { targetMmap } from '../mm/targetMmap.js';
import { targetMprotect } from '../mm/targetMprotect.js';
import { logPageLayout } from '../observe/pageLog.js';
import { allocateBlock, freeBlock, OutOfKernelMemory } from '../sync/heap.js';
import { pointer, record, u32 } from '../sync/record.js';
import { Guest } from '../sync/records/guest.js';
import { Mm } from '../sync/records/mm.js';
import { NO_RESERVATION, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { allocateText, freeText, textBytes } from '../sync/text.js';
import { EACCES, ELOOP, ENOENT, ENOEXEC, ENOMEM, errnoText, SyscallError } from './errno.js';
import { exitGroup, setGuestText } from './exit.js';
import { type ExecutableFile, openExecutable, setExecutablePath } from './files/executable.js';
import { getLimit, RLIMIT_STACK } from './guestRecords.js';
import { fillRandom } from './random.js';
import { VDSO_RT_SIGRETURN } from './signals/signalFrame.js';
import type { ThreadContext } from './threadContext.js';

/** What a program is started with. Strings are bytes without NUL. */
export interface ExecArguments {
  /** Guest path of the program. */
  readonly path: Uint8Array;
  readonly argv: readonly Uint8Array[];
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
const TARGET_PAGE = 4096;

/** Stores the arguments in shared memory; `takeExecRequest` frees them. */
export function storeExecRequest(mem: SharedMemory, request: ExecArguments, owner: number): number {
  const all = [request.path, ...request.argv, ...request.envp];
  const bytes = new Uint8Array(all.reduce((sum, s) => sum + s.length + 1, 0));
  let at = 0;
  for (const s of all) {
    bytes.set(s, at);
    at += s.length + 1;
  }
  const block = allocateBlock(mem, ExecRequest.SIZE, owner);
  mem.setU32(block + ExecRequest.argc, request.argv.length);
  mem.setU32(block + ExecRequest.envc, request.envp.length);
  mem.setU32(block + ExecRequest.strings, allocateText(mem, bytes, owner));
  return block;
}

function takeExecRequest(mem: SharedMemory, block: number, owner: number): ExecArguments {
  const bytes = textBytes(mem, mem.getU32(block + ExecRequest.strings));
  const argc = mem.getU32(block + ExecRequest.argc);
  const strings: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    strings.push(bytes.slice(from, end));
    from = end + 1;
  }
  freeText(mem, mem.getU32(block + ExecRequest.strings), owner);
  freeBlock(mem, block, owner);
  return { path: strings[0], argv: strings.slice(1, 1 + argc), envp: strings.slice(1 + argc) };
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
    loadInto(t, openProgram(t, request));
    return true;
  } catch (error) {
    let errno = ENOMEM;
    let message: string;
    if (error instanceof LoadError) ({ errno, message } = error);
    else if (error instanceof SyscallError) {
      errno = error.errno;
      message = errnoText(errno);
    } else if (error instanceof OutOfKernelMemory || error instanceof UserFault) {
      message = errnoText(errno);
    } else throw error;
    setGuestText(mem, guest, Guest.execMessage, Guest.execMessageLength, message, thread);
    mem.setU32(guest + Guest.execErrno, errno);
    exitGroup(t, (errno === ENOENT ? 127 : 126) << 8);
    return false;
  }
}

/** A program that may be loaded: opened, checked, with its final arguments. */
interface OpenedProgram extends ExecArguments {
  readonly files: readonly ExecutableFile[];
  readonly prepared: PreparedProgram;
  /** The file that /proc/self/exe names. */
  readonly executable: ExecutableFile;
}

/**
 * Opens the program, going through `#!` lines, and checks it; nothing of the guest changes. Throws LoadError and
 * SyscallError.
 */
function openProgram(t: ThreadContext, request: ExecArguments): OpenedProgram {
  const files: ExecutableFile[] = [];
  try {
    let { path } = request;
    let argv = [...request.argv];
    for (let depth = 0; ; depth++) {
      const file = openExecutable(t, path);
      files.push(file);
      const head = new Uint8Array(Math.min(SCRIPT_HEAD_BYTES, file.size));
      const script = parseScript(head.subarray(0, file.read(0, head)));
      if (script === undefined) {
        if (depth > 0 && head.length >= 2 && head[0] === 0x23 && head[1] === 0x21)
          throw new SyscallError(ENOEXEC);
        checkArguments(argv, request.envp, stackLimit(t));
        const prepared = prepareProgram(file, (interpreter) => {
          const opened = openInterpreter(t, interpreter);
          files.push(opened);
          return opened;
        });
        return { path: request.path, argv, envp: request.envp, files, prepared, executable: file };
      }
      if (depth === MAX_SCRIPTS) throw new SyscallError(ELOOP);
      // The script's own name replaces argv[0] and becomes the interpreter's argument.
      argv = [
        script.interpreter,
        ...(script.argument !== undefined ? [script.argument] : []),
        path,
        ...argv.slice(1),
      ];
      path = script.interpreter;
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

/** Maps the program into the thread's (empty) address space and sets its registers. Closes the files. */
function loadInto(t: ThreadContext, program: OpenedProgram): void {
  const { mem, thread, guest } = t;
  try {
    const loaded = mapProgram(t, program.prepared);
    mapVdso(t);
    const random = new Uint8Array(16);
    fillRandom(mem, random);
    const stack = buildInitialStack(t, {
      program: loaded,
      argv: program.argv,
      envp: program.envp,
      execfn: program.path,
      stackSize: stackLimit(t),
      random,
      uid: mem.getU32(guest + Guest.uids),
      euid: mem.getU32(guest + Guest.uids + 4),
      gid: mem.getU32(guest + Guest.gids),
      egid: mem.getU32(guest + Guest.gids + 4),
      secure: false,
    });
    mem.zero(thread + Thread.x, 33 * 8);
    mem.zero(thread + Thread.f, 32 * 8);
    mem.setU32(thread + Thread.fflags, 0);
    mem.setU32(thread + Thread.frm, 0);
    mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
    mem.set64(thread + Thread.x + 2 * 8, stack.sp);
    mem.set64(thread + Thread.pc, loaded.entry);
    setExecutablePath(t, program.executable.path);
    setComm(mem, thread, program.path);
    if (t.options.logPage) logPageLayout(t, 'binary load');
  } finally {
    for (const file of program.files) file.release();
  }
}

/**
 * Maps the page with the signal trampoline, which /proc shows as [vdso] because Mm.vdso says where it is. It is no ELF
 * image: AT_SYSINFO_EHDR stays absent.
 */
function mapVdso(t: ThreadContext): void {
  const at = targetMmap(t, 0, TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, null, 0);
  if (at < 0) throw new SyscallError(-at);
  copyOut(t, at, VDSO_RT_SIGRETURN);
  const result = targetMprotect(t, at, TARGET_PAGE, PROT_READ | PROT_EXEC);
  if (result < 0) throw new SyscallError(-result);
  t.mem.set64(t.mm + Mm.vdso, at);
}

/** comm is the last part of the path, at most 15 bytes. */
export function setComm(mem: SharedMemory, thread: number, path: Uint8Array): void {
  const name = path.subarray(path.lastIndexOf(0x2f) + 1).subarray(0, 15);
  mem.zero(thread + Thread.comm, 16);
  mem.u8.set(name, thread + Thread.comm);
}
