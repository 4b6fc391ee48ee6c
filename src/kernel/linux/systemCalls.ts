import { loadavg } from 'node:os';
import { CACHE_BLOCK, EXTENSIONS, WITHOUT_C, ZICBOM, ZICBOZ } from '../../isa/extensions.js';
import { copyIn, copyOut, readU64Big, writeU32, writeU64Big } from '../../memory/userAccess.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest, INIT_PID } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { Thread } from '../../sync/records/thread.js';
import { UTS_LENGTH } from '../../sync/records/uts.js';
import {
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_ADMIN,
  capable,
  followFileUserId,
  followUserIds,
} from '../capabilities.js';
import { separateCred } from '../credentials.js';
import { EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import { timerSlackOf } from '../files/procProcess.js';
import { groupsOf, NGROUPS_MAX, setGroups } from '../groups.js';
import { visitGuests } from '../guestRecords.js';
import { setProcessGroup, startSession } from '../processGroups.js';
import { fillRandom } from '../random.js';
import { hangUpOwn } from '../terminals/hangUp.js';
import type { ThreadContext } from '../threadContext.js';
import { setUtsName, utsName } from '../uts.js';
import { capabilityControl } from './capabilityCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** The rest: ids, limits, names, information about the system. */

// --- ids ---

const REAL = 0;
const EFFECTIVE = 1;
const SAVED = 2;
const FILESYSTEM = 3;
const UNCHANGED = 0xffff_ffff;

function id(t: ThreadContext, field: number, which: number): number {
  return t.mem.getU32(t.cred + field + which * 4);
}

function setId(t: ThreadContext, field: number, which: number, value: number): void {
  t.mem.setU32(t.cred + field + which * 4, value);
}

/** Whether an unprivileged guest may take the id: it is one of those it has. */
function hasId(t: ThreadContext, field: number, value: number): boolean {
  return [REAL, EFFECTIVE, SAVED].some((which) => id(t, field, which) === value);
}

/** The capability to take any id: CAP_SETUID or CAP_SETGID. */
function mayTake(t: ThreadContext, field: number): boolean {
  return capable(t, field === Cred.uids ? CAP_SETUID : CAP_SETGID);
}

/** Runs a call that changes user ids: capabilities follow them. */
function changeUser(t: ThreadContext, change: () => number): number {
  const before = [REAL, EFFECTIVE, SAVED].map((which) => id(t, Cred.uids, which));
  const result = changeIds(t, change);
  if (result === 0) followUserIds(t.mem, t.cred, before);
  return result;
}

/** Runs a call that changes ids: what is in the memory of one who was somebody else is not everybody's (commit_creds). */
function changeIds(t: ThreadContext, change: () => number): number {
  const ids = (): string =>
    [EFFECTIVE, FILESYSTEM].map((w) => `${id(t, Cred.uids, w)}:${id(t, Cred.gids, w)}`).join();
  separateCred(t);
  const before = ids();
  const result = change();
  if (ids() !== before) {
    t.mem.setU32(t.mm + Mm.dumpable, 0);
    t.mem.setU32(t.guest + Guest.parentDeathSignal, 0);
  }
  return result;
}

/** setuid, setgid. */
function setOne(t: ThreadContext, field: number, wanted: number): number {
  const value = wanted >>> 0;
  if (value === UNCHANGED) return -EINVAL;
  if (mayTake(t, field)) {
    setId(t, field, REAL, value);
    setId(t, field, SAVED, value);
  } else if (value !== id(t, field, REAL) && value !== id(t, field, SAVED)) return -EPERM;
  setId(t, field, EFFECTIVE, value);
  setId(t, field, FILESYSTEM, value);
  return 0;
}

/** setresuid, setresgid: −1 leaves an id alone. */
function setThree(t: ThreadContext, field: number, wanted: readonly number[]): number {
  const values = wanted.map((value) => value >>> 0);
  if (!mayTake(t, field)) {
    for (const value of values) if (value !== UNCHANGED && !hasId(t, field, value)) return -EPERM;
  }
  for (let which = 0; which < 3; which++)
    if (values[which] !== UNCHANGED) setId(t, field, which, values[which]);
  setId(t, field, FILESYSTEM, id(t, field, EFFECTIVE));
  return 0;
}

/** setreuid, setregid. */
function setTwo(t: ThreadContext, field: number, real: number, effective: number): number {
  const newReal = real >>> 0;
  const newEffective = effective >>> 0;
  if (!mayTake(t, field)) {
    const own = [id(t, field, REAL), id(t, field, EFFECTIVE)];
    if (newReal !== UNCHANGED && !own.includes(newReal)) return -EPERM;
    if (newEffective !== UNCHANGED && !hasId(t, field, newEffective)) return -EPERM;
  }
  const oldReal = id(t, field, REAL);
  if (newReal !== UNCHANGED) setId(t, field, REAL, newReal);
  if (newEffective !== UNCHANGED) setId(t, field, EFFECTIVE, newEffective);
  if (newReal !== UNCHANGED || (newEffective !== UNCHANGED && newEffective !== oldReal))
    setId(t, field, SAVED, id(t, field, EFFECTIVE));
  setId(t, field, FILESYSTEM, id(t, field, EFFECTIVE));
  return 0;
}

function getThree(t: ThreadContext, field: number, pointers: readonly number[]): number {
  pointers.forEach((va, which) => {
    writeU32(t, va, id(t, field, which));
  });
  return 0;
}

/** setfsuid, setfsgid: answer the id before, whether it changed or not. */
function setFilesystemId(t: ThreadContext, field: number, wanted: number): number {
  const before = id(t, field, FILESYSTEM);
  const value = wanted >>> 0;
  if (value !== UNCHANGED && (mayTake(t, field) || hasId(t, field, value) || value === before)) {
    setId(t, field, FILESYSTEM, value);
    if (field === Cred.uids) followFileUserId(t.mem, t.cred, before);
  }
  return before;
}

/** Calls `visit` with the guest of that pid (0: the caller's own), which stays meanwhile. Throws ESRCH. */
function withGuest<T>(t: ThreadContext, pidNumber: number, visit: (guest: number) => T): T {
  const { mem, guest, thread } = t;
  const pid = pidNumber | 0;
  if (pid === 0 || pid === mem.getU32(guest + Guest.pid)) return visit(guest);
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest))
      if (mem.getU32(g + Guest.pid) === pid) return visit(g);
    throw new SyscallError(ESRCH);
  });
}

/** Pid of the parent; a guest that the embedder started has the machine's init as its parent. */
function getppid(t: ThreadContext): number {
  const { mem, guest, thread } = t;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const parent = mem.getU32(guest + Guest.parent);
    return parent === 0 ? INIT_PID : mem.getU32(parent + Guest.pid);
  });
}

// --- names and numbers of the system ---

function uname(t: ThreadContext, va: number): number {
  const encoder = new TextEncoder();
  const fields = [
    encoder.encode('Linux'),
    utsName(t.mem, 'nodename', t.thread),
    encoder.encode(t.options.unameRelease),
    encoder.encode('#1 SMP PREEMPT_DYNAMIC Guesthouse'),
    encoder.encode('riscv64'),
    utsName(t.mem, 'domainname', t.thread),
  ];
  const bytes = new Uint8Array(65 * fields.length);
  fields.forEach((field, i) => {
    bytes.set(field.subarray(0, 64), i * 65);
  });
  copyOut(t, va, bytes);
  return 0;
}

function setName(t: ThreadContext, which: 'nodename' | 'domainname', va: number, length: number): number {
  if (!capable(t, CAP_SYS_ADMIN)) return -EPERM;
  if ((length | 0) < 0 || (length | 0) > UTS_LENGTH) return -EINVAL;
  const name = new Uint8Array(length | 0);
  copyIn(t, va, name);
  setUtsName(t.mem, which, name, t.thread);
  return 0;
}

function sysinfo(t: ThreadContext, va: number): number {
  const { mem } = t;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const total = mem.getU32(MACHINE + Machine.frameCount) * 2 ** shift;
  const used = mem.getI32(MACHINE + Machine.framesUsed) * 2 ** shift;
  let threads = 0;
  visitGuests(mem, t.thread, (guest) => {
    threads += mem.getI32(guest + Guest.threadCount);
    return false;
  });
  const bytes = new Uint8Array(112);
  const view = new DataView(bytes.buffer);
  const up = monotonicNow() - mem.getU64(MACHINE + Machine.bootTime);
  view.setBigInt64(0, BigInt(Math.max(0, Math.floor(up / 1000))), true);
  // Loads are in units of 1/65536.
  loadavg().forEach((load, i) => {
    view.setBigUint64(8 + i * 8, BigInt(Math.floor(load * 65536)), true);
  });
  view.setBigUint64(32, BigInt(total), true);
  view.setBigUint64(40, BigInt(Math.max(0, total - used)), true);
  view.setUint16(80, Math.min(65535, threads), true);
  view.setUint32(104, 1, true);
  copyOut(t, va, bytes);
  return 0;
}

const GRND_NONBLOCK = 1;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;

function getrandom(t: ThreadContext, va: number, length: number, flags: number): number {
  if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) !== 0) return -EINVAL;
  if ((flags & (GRND_RANDOM | GRND_INSECURE)) === (GRND_RANDOM | GRND_INSECURE)) return -EINVAL;
  const wanted = Math.min(length < 0 ? 0x7fff_ffff : length, 0x200_0000 - 1);
  const chunk = new Uint8Array(Math.min(wanted, 65536));
  for (let done = 0; done < wanted; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, wanted - done));
    fillRandom(t.mem, part);
    copyOut(t, va + done, part);
  }
  return wanted;
}

/** IMA_EXT_0: FD, C, and what is always there beside them (Zihintntl, Zihintpause, Zca, Zcd, Zicntr, Zaamo, Zalrsc). */
const ALWAYS_PROBED = [0, 1, 29, 36, 43, 45, 50, 56, 57].reduce(
  (bits, bit) => bits | (1n << BigInt(bit)),
  0n,
);

/** Those of them that are C: C, Zca, Zcd. */
const COMPRESSED_PROBED = (1n << 1n) | (1n << 43n) | (1n << 45n);

const TIME_FREQUENCY = 10_000_000n;

/** riscv_hwprobe(2): what the processor answers for a key (asm/hwprobe.h); undefined for one that is not known. */
function probe(key: bigint, extensions: number, taskSize: number): bigint | undefined {
  const block = (bit: number): bigint => (extensions & bit ? BigInt(CACHE_BLOCK) : 0n);
  switch (key) {
    case 0n: // MVENDORID
    case 1n: // MARCHID
    case 2n: // MIMPID
      return 0n;
    case 3n: // BASE_BEHAVIOR: IMA
      return 1n;
    case 4n: // IMA_EXT_0
      return EXTENSIONS.reduce(
        (bits, { bit, probeBit }) =>
          extensions & bit && probeBit !== undefined ? bits | (1n << BigInt(probeBit)) : bits,
        extensions & WITHOUT_C ? ALWAYS_PROBED & ~COMPRESSED_PROBED : ALWAYS_PROBED,
      );
    case 5n: // CPUPERF_0 and
    case 9n: // MISALIGNED_SCALAR_PERF: slow
      return 2n;
    case 6n: // ZICBOZ_BLOCK_SIZE
      return block(ZICBOZ);
    case 7n: // HIGHEST_VIRT_ADDRESS
      return BigInt(taskSize - 1);
    case 8n: // TIME_CSR_FREQ
      return TIME_FREQUENCY;
    case 10n: // MISALIGNED_VECTOR_PERF: unsupported
      return 4n;
    case 12n: // ZICBOM_BLOCK_SIZE
      return block(ZICBOM);
    default:
      return undefined;
  }
}

function riscvHwprobe(
  t: ThreadContext,
  pairs: number,
  count: number,
  cpuSetSize: number,
  cpus: number,
  flags: number,
): number {
  // Every processor is alike, so that RISCV_HWPROBE_WHICH_CPUS would have little to say.
  if ((flags | 0) !== 0) return -EINVAL;
  if (cpus !== 0 && cpuSetSize > 0) {
    const set = new Uint8Array(Math.min(cpuSetSize, 128));
    copyIn(t, cpus, set);
    if (!set.some((byte) => byte !== 0)) return -EINVAL;
  } else if (cpuSetSize !== 0) return -EINVAL;
  const extensions = t.mem.getU32(t.mm + Mm.extensions);
  const taskSize = t.mem.getU64(t.mm + Mm.taskSize);
  for (let i = 0; i < count; i++) {
    const at = pairs + i * 16;
    const value = probe(readU64Big(t, at), extensions, taskSize);
    if (value === undefined) writeU64Big(t, at, 0xffff_ffff_ffff_ffffn);
    writeU64Big(t, at + 8, value ?? 0n);
  }
  return 0;
}

// --- prctl(2) ---

const PR_SET_PDEATHSIG = 1;
const PR_GET_PDEATHSIG = 2;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const PR_GET_TIMING = 13;
const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const PR_GET_SECCOMP = 21;
const PR_SET_TIMERSLACK = 29;
const PR_GET_TIMERSLACK = 30;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;
const PR_SET_CHILD_SUBREAPER = 36;
const PR_GET_CHILD_SUBREAPER = 37;
const PR_SET_THP_DISABLE = 41;
const PR_GET_THP_DISABLE = 42;

function prctl(t: ThreadContext, option: number, a1: number, a2: number, a3: number, a4: number): number {
  const { mem, thread, mm } = t;
  switch (option | 0) {
    case PR_SET_NAME: {
      const name = new Uint8Array(16);
      // strncpy_from_user: up to the NUL, no further.
      const byte = new Uint8Array(1);
      for (let i = 0; i < 15; i++) {
        copyIn(t, a1 + i, byte);
        if (byte[0] === 0) break;
        name[i] = byte[0];
      }
      mem.u8.set(name, thread + Thread.comm);
      return 0;
    }
    case PR_GET_NAME:
      copyOut(t, a1, mem.u8.slice(thread + Thread.comm, thread + Thread.comm + 16));
      return 0;
    case PR_GET_DUMPABLE:
      return mem.getU32(mm + Mm.dumpable);
    case PR_SET_DUMPABLE:
      if (a1 !== 0 && a1 !== 1) return -EINVAL;
      mem.setU32(mm + Mm.dumpable, a1);
      return 0;
    case PR_SET_PDEATHSIG:
      if (a1 < 0 || a1 > 64) return -EINVAL;
      mem.setU32(t.guest + Guest.parentDeathSignal, a1);
      return 0;
    case PR_GET_PDEATHSIG:
      writeU32(t, a1, mem.getU32(t.guest + Guest.parentDeathSignal));
      return 0;
    case PR_SET_CHILD_SUBREAPER:
      mem.setU32(t.guest + Guest.subreaper, a1 === 0 ? 0 : 1);
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      writeU32(t, a1, mem.getU32(t.guest + Guest.subreaper));
      return 0;
    case PR_SET_NO_NEW_PRIVS:
      if (a1 !== 1 || a2 !== 0 || a3 !== 0 || a4 !== 0) return -EINVAL;
      mem.setU32(t.guest + Guest.noNewPrivileges, 1);
      return 0;
    case PR_GET_NO_NEW_PRIVS:
      if (a1 !== 0 || a2 !== 0 || a3 !== 0 || a4 !== 0) return -EINVAL;
      return mem.getU32(t.guest + Guest.noNewPrivileges);
    // Kept, and of no effect: nothing here is put off.
    case PR_SET_TIMERSLACK:
      mem.setU32(thread + Thread.timerSlack, a1 > 0 ? Math.min(a1, 0xffff_ffff) : 0);
      return 0;
    case PR_GET_TIMERSLACK:
      return Math.min(timerSlackOf(mem, thread), 0x7fff_ffff);
    case PR_GET_TIMING:
    case PR_GET_SECCOMP:
      return 0;
    // Kept, and of no effect: there are no huge pages.
    case PR_SET_THP_DISABLE:
      if (a2 !== 0 || a3 !== 0 || a4 !== 0) return -EINVAL;
      mem.setU32(t.guest + Guest.hugePagesDisabled, a1 === 0 ? 0 : 1);
      return 0;
    case PR_GET_THP_DISABLE:
      if (a1 !== 0 || a2 !== 0 || a3 !== 0 || a4 !== 0) return -EINVAL;
      return mem.getU32(t.guest + Guest.hugePagesDisabled);
    default:
      return capabilityControl(t, option | 0, [a1, a2, a3, a4]) ?? -EINVAL;
  }
}

// --- groups, personality ---

function getgroups(t: ThreadContext, size: number, list: number): number {
  const groups = groupsOf(t.mem, t.cred);
  if ((size | 0) < 0) return -EINVAL;
  if ((size | 0) === 0) return groups.length;
  if ((size | 0) < groups.length) return -EINVAL;
  copyOut(t, list, new Uint8Array(Uint32Array.from(groups).buffer));
  return groups.length;
}

function setgroups(t: ThreadContext, size: number, list: number): number {
  if (!capable(t, CAP_SETGID)) return -EPERM;
  if (size >>> 0 > NGROUPS_MAX) return -EINVAL;
  const bytes = new Uint8Array((size >>> 0) * 4);
  copyIn(t, list, bytes);
  separateCred(t);
  setGroups(t.mem, t.guest, t.cred, [...new Uint32Array(bytes.buffer)], t.thread);
  return 0;
}

/** Any value is taken and kept; STICKY_TIMEOUTS is the one that changes something (pollCalls.ts). */
function personality(t: ThreadContext, wanted: number): number {
  const value = wanted >>> 0;
  const before = t.mem.getU32(t.guest + Guest.personality);
  if (value !== 0xffff_ffff) t.mem.setU32(t.guest + Guest.personality, value);
  return before;
}

export const systemCalls: SyscallTable = {
  [SYS.SYS_getpid]: syscall('getpid', [], (t) => t.mem.getU32(t.guest + Guest.pid)),
  [SYS.SYS_getppid]: syscall('getppid', [], getppid),
  [SYS.SYS_getuid]: syscall('getuid', [], (t) => id(t, Cred.uids, REAL)),
  [SYS.SYS_geteuid]: syscall('geteuid', [], (t) => id(t, Cred.uids, EFFECTIVE)),
  [SYS.SYS_getgid]: syscall('getgid', [], (t) => id(t, Cred.gids, REAL)),
  [SYS.SYS_getegid]: syscall('getegid', [], (t) => id(t, Cred.gids, EFFECTIVE)),
  [SYS.SYS_setuid]: syscall('setuid', ['uint'], (t, user) => changeUser(t, () => setOne(t, Cred.uids, user))),
  [SYS.SYS_setgid]: syscall('setgid', ['uint'], (t, group) =>
    changeIds(t, () => setOne(t, Cred.gids, group)),
  ),
  [SYS.SYS_setreuid]: syscall('setreuid', ['int', 'int'], (t, r, e) =>
    changeUser(t, () => setTwo(t, Cred.uids, r, e)),
  ),
  [SYS.SYS_setregid]: syscall('setregid', ['int', 'int'], (t, r, e) =>
    changeIds(t, () => setTwo(t, Cred.gids, r, e)),
  ),
  [SYS.SYS_setresuid]: syscall('setresuid', ['int', 'int', 'int'], (t, r, e, s) =>
    changeUser(t, () => setThree(t, Cred.uids, [r, e, s])),
  ),
  [SYS.SYS_setresgid]: syscall('setresgid', ['int', 'int', 'int'], (t, r, e, s) =>
    changeIds(t, () => setThree(t, Cred.gids, [r, e, s])),
  ),
  [SYS.SYS_getresuid]: syscall('getresuid', ['pointer', 'pointer', 'pointer'], (t, r, e, s) =>
    getThree(t, Cred.uids, [r, e, s]),
  ),
  [SYS.SYS_getresgid]: syscall('getresgid', ['pointer', 'pointer', 'pointer'], (t, r, e, s) =>
    getThree(t, Cred.gids, [r, e, s]),
  ),
  [SYS.SYS_setfsuid]: syscall('setfsuid', ['int'], (t, user) =>
    changeIds(t, () => setFilesystemId(t, Cred.uids, user)),
  ),
  [SYS.SYS_setfsgid]: syscall('setfsgid', ['int'], (t, group) =>
    changeIds(t, () => setFilesystemId(t, Cred.gids, group)),
  ),
  [SYS.SYS_getpgid]: syscall('getpgid', ['int'], (t, pid) =>
    withGuest(t, pid, (guest) => t.mem.getU32(guest + Guest.pgid)),
  ),
  [SYS.SYS_setpgid]: syscall('setpgid', ['int', 'int'], (t, pid, group) =>
    setProcessGroup(t, pid | 0, group | 0),
  ),
  [SYS.SYS_getsid]: syscall('getsid', ['int'], (t, pid) =>
    withGuest(t, pid, (guest) => t.mem.getU32(guest + Guest.sid)),
  ),
  [SYS.SYS_setsid]: syscall('setsid', [], startSession),
  [SYS.SYS_vhangup]: syscall('vhangup', [], hangUpOwn),
  [SYS.SYS_getgroups]: syscall('getgroups', ['int', 'pointer'], getgroups),
  [SYS.SYS_setgroups]: syscall('setgroups', ['int', 'pointer'], setgroups),
  [SYS.SYS_sethostname]: syscall('sethostname', ['string', 'int'], (t, va, length) =>
    setName(t, 'nodename', va, length),
  ),
  [SYS.SYS_setdomainname]: syscall('setdomainname', ['string', 'int'], (t, va, length) =>
    setName(t, 'domainname', va, length),
  ),
  [SYS.SYS_uname]: syscall('uname', ['pointer'], uname),
  [SYS.SYS_sysinfo]: syscall('sysinfo', ['pointer'], sysinfo),
  [SYS.SYS_getrandom]: syscall('getrandom', ['pointer', 'size', 'hex'], getrandom),
  [SYS.SYS_riscv_hwprobe]: syscall(
    'riscv_hwprobe',
    ['pointer', 'size', 'size', 'pointer', 'hex'],
    riscvHwprobe,
  ),
  [SYS.SYS_prctl]: syscall('prctl', ['int', 'hex', 'hex', 'hex', 'hex'], prctl),
  [SYS.SYS_personality]: syscall('personality', ['hex'], personality),
};
