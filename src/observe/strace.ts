import { errnoText } from '../kernel/errno.js';
import type { ArgKind, SyscallEntry } from '../kernel/linux/syscall.js';
import { infoAddress, infoCode, infoPid, infoUid, type SigInfo } from '../kernel/signals/sigInfo.js';
import { SI_KERNEL, signalName } from '../kernel/signals/signalNumbers.js';
import type { ThreadContext } from '../kernel/threadContext.js';
import { copyIn, readCString, readI64, readU32 } from '../memory/userAccess.js';
import { writeLog } from './log.js';

/**
 * --strace: a line in the log for every system call, as `qemu-riscv64 -strace` writes them, but at the end of the call, so
 * that lines of different threads never mix: `TID name(arguments) = result`. Restart codes show as strace(1) shows them.
 */
/** How much of a string or buffer is shown. */
const SHOWN = 64;

/** One line of the log. */
const line = (t: ThreadContext, text: string): void => writeLog(t.mem, `${text}\n`);

type Flags = readonly (readonly [number, string])[];

const OPEN_FLAGS: Flags = [
  [0o1, 'O_WRONLY'],
  [0o2, 'O_RDWR'],
  [0o100, 'O_CREAT'],
  [0o200, 'O_EXCL'],
  [0o400, 'O_NOCTTY'],
  [0o1000, 'O_TRUNC'],
  [0o2000, 'O_APPEND'],
  [0o4000, 'O_NONBLOCK'],
  [0o20200000, 'O_TMPFILE'],
  [0o200000, 'O_DIRECTORY'],
  [0o400000, 'O_NOFOLLOW'],
  [0o2000000, 'O_CLOEXEC'],
  [0o10000000, 'O_PATH'],
  [0o100000, 'O_LARGEFILE'],
];
const AT_FLAGS: Flags = [
  [0x100, 'AT_SYMLINK_NOFOLLOW'],
  [0x200, 'AT_REMOVEDIR'],
  [0x400, 'AT_SYMLINK_FOLLOW'],
  [0x800, 'AT_NO_AUTOMOUNT'],
  [0x1000, 'AT_EMPTY_PATH'],
];
const PROT_FLAGS: Flags = [
  [1, 'PROT_READ'],
  [2, 'PROT_WRITE'],
  [4, 'PROT_EXEC'],
];
const MAP_FLAGS: Flags = [
  [3, 'MAP_SHARED_VALIDATE'],
  [1, 'MAP_SHARED'],
  [2, 'MAP_PRIVATE'],
  [0x10, 'MAP_FIXED'],
  [0x20, 'MAP_ANONYMOUS'],
  [0x100, 'MAP_GROWSDOWN'],
  [0x800, 'MAP_DENYWRITE'],
  [0x2000, 'MAP_LOCKED'],
  [0x4000, 'MAP_NORESERVE'],
  [0x8000, 'MAP_POPULATE'],
  [0x20000, 'MAP_STACK'],
  [0x40000, 'MAP_HUGETLB'],
  [0x100000, 'MAP_FIXED_NOREPLACE'],
];
const CLONE_FLAGS: Flags = [
  [0x100, 'CLONE_VM'],
  [0x200, 'CLONE_FS'],
  [0x400, 'CLONE_FILES'],
  [0x800, 'CLONE_SIGHAND'],
  [0x1000, 'CLONE_PIDFD'],
  [0x4000, 'CLONE_VFORK'],
  [0x8000, 'CLONE_PARENT'],
  [0x10000, 'CLONE_THREAD'],
  [0x40000, 'CLONE_SYSVSEM'],
  [0x80000, 'CLONE_SETTLS'],
  [0x100000, 'CLONE_PARENT_SETTID'],
  [0x200000, 'CLONE_CHILD_CLEARTID'],
  [0x1000000, 'CLONE_CHILD_SETTID'],
];
const FUTEX_OPS = [
  'WAIT',
  'WAKE',
  'FD',
  'REQUEUE',
  'CMP_REQUEUE',
  'WAKE_OP',
  'LOCK_PI',
  'UNLOCK_PI',
  'TRYLOCK_PI',
  'WAIT_BITSET',
  'WAKE_BITSET',
  'WAIT_REQUEUE_PI',
  'CMP_REQUEUE_PI',
  'LOCK_PI2',
];
const CLOCKS = [
  'CLOCK_REALTIME',
  'CLOCK_MONOTONIC',
  'CLOCK_PROCESS_CPUTIME_ID',
  'CLOCK_THREAD_CPUTIME_ID',
  'CLOCK_MONOTONIC_RAW',
  'CLOCK_REALTIME_COARSE',
  'CLOCK_MONOTONIC_COARSE',
  'CLOCK_BOOTTIME',
];
const AT_FDCWD = -100;
/** Result of a call that a signal interrupted and that may be made again. */
const RESTARTS: Record<number, string> = {
  512: 'ERESTARTSYS',
  513: 'ERESTARTNOINTR',
  514: 'ERESTARTNOHAND',
  516: 'ERESTART_RESTARTBLOCK',
};

function hex(value: number): string {
  return value < 0
    ? `0x${BigInt.asUintN(64, BigInt(Math.trunc(value))).toString(16)}`
    : `0x${value.toString(16)}`;
}

/** The names of the bits of `value` joined by "|"; what has no name in hexadecimal. */
function flagNames(value: number, names: Flags, none: string): string {
  const found: string[] = [];
  let rest = value;
  for (const [bits, name] of names) {
    if ((rest & bits) === bits) {
      found.push(name);
      rest &= ~bits;
    }
  }
  if (rest !== 0) found.push(hex(rest >>> 0));
  return found.length === 0 ? none : found.join('|');
}

/** A byte string in C's notation. */
function quote(bytes: Uint8Array): string {
  let text = '"';
  for (const byte of bytes.subarray(0, SHOWN)) {
    if (byte === 0x0a) text += '\\n';
    else if (byte === 0x09) text += '\\t';
    else if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte < 0x20 || byte >= 0x7f) text += `\\${byte.toString(8).padStart(3, '0')}`;
    else text += String.fromCharCode(byte);
  }
  return `${text}"${bytes.length > SHOWN ? '...' : ''}`;
}

/** What `read` reads of guest memory, or the pointer where it cannot be read. */
function show(value: number, read: () => string | undefined): string {
  if (value === 0) return 'NULL';
  try {
    return read() ?? hex(value);
  } catch {
    return hex(value);
  }
}

function formatArgument(t: ThreadContext, kind: ArgKind, value: number, next: number | undefined): string {
  switch (kind) {
    case 'fd':
    case 'int':
      return String(value | 0);
    case 'dirfd':
      return (value | 0) === AT_FDCWD ? 'AT_FDCWD' : String(value | 0);
    case 'uint':
      return String(value >>> 0);
    case 'long':
    case 'size':
      return String(value);
    case 'octal':
      return `0${(value >>> 0).toString(8)}`;
    case 'path':
    case 'string':
      return show(value, () => {
        const bytes = readCString(t, value, 4096);
        return bytes === undefined ? undefined : quote(bytes);
      });
    case 'buffer':
      return show(value, () => {
        const bytes = new Uint8Array(Math.max(0, Math.min(next ?? 0, SHOWN + 1)));
        copyIn(t, value, bytes);
        return quote(bytes);
      });
    case 'signal':
      return signalName(value | 0);
    case 'openFlags':
      // O_RDONLY is no bit: it is shown when neither O_WRONLY nor O_RDWR is.
      return flagNames(
        value | 0,
        (value & 3) === 0 ? [[0, 'O_RDONLY'], ...OPEN_FLAGS] : OPEN_FLAGS,
        'O_RDONLY',
      );
    case 'atFlags':
      return flagNames(value | 0, AT_FLAGS, '0');
    case 'prot':
      return flagNames(value | 0, PROT_FLAGS, 'PROT_NONE');
    case 'mapFlags':
      return flagNames(value | 0, MAP_FLAGS, '0');
    case 'cloneFlags': {
      const signal = value & 0xff;
      const flags = flagNames(value & ~0xff, CLONE_FLAGS, '0');
      return signal === 0 ? flags : `${flags}|${signalName(signal)}`;
    }
    case 'futexOp': {
      const name = FUTEX_OPS[value & 127];
      const suffix = `${value & 128 ? '_PRIVATE' : ''}${value & 256 ? '|FUTEX_CLOCK_REALTIME' : ''}`;
      return name === undefined ? hex(value) : `FUTEX_${name}${suffix}`;
    }
    case 'clock':
      return CLOCKS[value] ?? String(value | 0);
    case 'timespec':
      return show(value, () => `{tv_sec = ${readI64(t, value)},tv_nsec = ${readI64(t, value + 8)}}`);
    case 'sigset':
      return show(value, () => setNames(readU32(t, value), readU32(t, value + 4)));
    default:
      return value === 0 ? (kind === 'pointer' ? 'NULL' : '0') : hex(value);
  }
}

/** A signal set as strace(1) shows it: `[INT TERM]`, or what is missing, `~[KILL]`. */
function setNames(low: number, high: number): string {
  const present: string[] = [];
  const absent: string[] = [];
  for (let signal = 1; signal <= 64; signal++) {
    const bit = ((signal <= 32 ? low : high) >>> ((signal - 1) & 31)) & 1;
    (bit !== 0 ? present : absent).push(signalName(signal).slice(3));
  }
  return present.length > 32 ? `~[${absent.join(' ')}]` : `[${present.join(' ')}]`;
}

/** The call as it will be shown; made before it runs, while its arguments are what they are. KERNEL mode. */
export function traceCall(t: ThreadContext, entry: SyscallEntry, args: readonly number[]): string {
  const shown = entry.args.map((kind, i) => formatArgument(t, kind, args[i], args[i + 1]));
  return `${t.tid} ${entry.name}(${shown.join(',')})`;
}

/** Writes the line of a call that has ended. */
export function traceResult(t: ThreadContext, entry: SyscallEntry, traced: string, result: number): void {
  if (entry.name === 'exit' || entry.name === 'exit_group') line(t, traced);
  else if (t.registersReplaced) line(t, `${traced} = 0`);
  else line(t, `${traced} = ${formatResult(entry, result)}`);
}

/** A result as --strace shows it. */
export function formatResult(entry: SyscallEntry, result: number): string {
  if (result < 0 && result > -4096) {
    const restart = RESTARTS[-result];
    return restart !== undefined ? `? ${restart}` : `-1 errno=${-result} (${errnoText(-result)})`;
  }
  return entry.resultHex === true ? `0x${result.toString(16).padStart(16, '0')}` : String(result);
}

/** Writes the line of a call that Guesthouse does not have; without --strace, once for each number. */
export function traceUnknown(t: ThreadContext, number: number): void {
  if (!t.options.strace) {
    if (t.reportedUnknown.has(number)) return;
    t.reportedUnknown.add(number);
  }
  line(t, `${t.tid} Unknown syscall ${number} = -1 errno=38 (${errnoText(38)})`);
}

/** Writes the line of a signal that is being acted on. */
export function traceSignal(t: ThreadContext, signal: number, info: SigInfo): void {
  const code = infoCode(info);
  const name = signalName(signal);
  const fault = code > 0 && code !== SI_KERNEL;
  const details = fault
    ? `si_addr=0x${infoAddress(info).toString(16)}`
    : `si_pid=${infoPid(info)}, si_uid=${infoUid(info)}`;
  line(t, `${t.tid} --- ${name} {si_signo=${name}, si_code=${code}, ${details}} ---`);
}
