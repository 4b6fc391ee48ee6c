import { copyIn, writeU32 } from '../../memory/userAccess.js';
import { Cred } from '../../sync/records/cred.js';
import {
  CAP_LAST_CAP,
  CAP_SETPCAP,
  type CapabilitySet,
  capabilitiesOf,
  capable,
  intersectionOf,
  isSubset,
  NO_CAPABILITIES,
  SECBIT_KEEP_CAPS,
  SECBIT_NO_CAP_AMBIENT_RAISE,
  setCapabilities,
  setOf,
  singleSet,
  storeSingleSet,
  unionOf,
  without,
} from '../capabilities.js';
import { credOf, separateCred } from '../credentials.js';
import { EFAULT, EINVAL, EPERM } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { withThread } from '../withThread.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** capget(2), capset(2), and what prctl(2) does about capabilities. */

const CAPABILITY_VERSION_1 = 0x19980330;
const CAPABILITY_VERSION_2 = 0x20071026;
const CAPABILITY_VERSION_3 = 0x20080522;
/** Bytes of struct __user_cap_data_struct: effective, permitted, inheritable. */
const DATA_SIZE = 12;

/** The words of a set that the header's version has, and the process it names; undefined for an unknown version. */
function readHeader(t: ThreadContext, header: number): { words: number; pid: number } | undefined {
  const bytes = new Uint8Array(8);
  copyIn(t, header, bytes.subarray(0, 4));
  const view = new DataView(bytes.buffer);
  const version = view.getUint32(0, true);
  if (![CAPABILITY_VERSION_1, CAPABILITY_VERSION_2, CAPABILITY_VERSION_3].includes(version)) {
    writeU32(t, header, CAPABILITY_VERSION_3);
    return undefined;
  }
  copyIn(t, header + 4, bytes.subarray(4));
  return { words: version === CAPABILITY_VERSION_1 ? 1 : 2, pid: view.getInt32(4, true) };
}

function capget(t: ThreadContext, headerPointer: number, data: number): number {
  const header = readHeader(t, headerPointer);
  if (header === undefined) return data === 0 ? 0 : -EINVAL;
  if (header.pid < 0) return -EINVAL;
  const sets = withThread(t, header.pid, (thread) => capabilitiesOf(t.mem, credOf(t.mem, thread)));
  if (data === 0) return 0;
  for (let word = 0; word < header.words; word++) {
    writeU32(t, data + word * DATA_SIZE, sets.effective[word]);
    writeU32(t, data + word * DATA_SIZE + 4, sets.permitted[word]);
    writeU32(t, data + word * DATA_SIZE + 8, sets.inheritable[word]);
  }
  return 0;
}

function capset(t: ThreadContext, headerPointer: number, data: number): number {
  const header = readHeader(t, headerPointer);
  if (header === undefined) return -EINVAL;
  // Only for oneself.
  if (header.pid !== 0 && header.pid !== t.tid) return -EPERM;
  if (data === 0) return -EFAULT;
  const bytes = new Uint8Array(DATA_SIZE * header.words);
  copyIn(t, data, bytes);
  const view = new DataView(bytes.buffer);
  const set = (offset: number): CapabilitySet => [
    view.getUint32(offset, true),
    // Bits beyond the last capability are ignored.
    header.words === 1 ? 0 : view.getUint32(DATA_SIZE + offset, true) & 0x1ff,
  ];
  const wanted = { effective: set(0), permitted: set(4), inheritable: set(8) };
  const now = capabilitiesOf(t.mem, t.cred);
  if (!isSubset(wanted.permitted, now.permitted)) return -EPERM;
  if (!isSubset(wanted.effective, wanted.permitted)) return -EPERM;
  const raisable = unionOf(now.inheritable, now.permitted);
  if (!capable(t, CAP_SETPCAP) && !isSubset(wanted.inheritable, raisable)) return -EPERM;
  const bounding = singleSet(t.mem, t.cred, Cred.boundingSet);
  if (!isSubset(wanted.inheritable, unionOf(now.inheritable, bounding))) return -EPERM;
  separateCred(t);
  setCapabilities(t.mem, t.cred, wanted);
  const ambient = singleSet(t.mem, t.cred, Cred.ambientSet);
  const kept = intersectionOf(ambient, intersectionOf(wanted.permitted, wanted.inheritable));
  storeSingleSet(t.mem, t.cred, Cred.ambientSet, kept);
  return 0;
}

const PR_GET_KEEPCAPS = 7;
const PR_SET_KEEPCAPS = 8;
const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_IS_SET = 1;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_LOWER = 3;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** SECBIT_*, and their locks, each one bit above. */
const SECURE_BITS = 0x55;
const SECURE_LOCKS = SECURE_BITS << 1;

function setSecureBits(t: ThreadContext, bits: number): number {
  const now = t.mem.getU32(t.cred + Cred.secureBits);
  const locked = (now & SECURE_LOCKS) >> 1;
  const unlocks = now & SECURE_LOCKS & ~bits;
  if (((now ^ bits) & locked) !== 0 || unlocks !== 0 || (bits & ~(SECURE_BITS | SECURE_LOCKS)) !== 0)
    return -EPERM;
  if (!capable(t, CAP_SETPCAP)) return -EPERM;
  separateCred(t);
  t.mem.setU32(t.cred + Cred.secureBits, bits);
  return 0;
}

function keepCapabilities(t: ThreadContext, keep: number): number {
  const bits = t.mem.getU32(t.cred + Cred.secureBits);
  if (keep !== 0 && keep !== 1) return -EINVAL;
  if (bits & (SECBIT_KEEP_CAPS << 1)) return -EPERM;
  separateCred(t);
  t.mem.setU32(t.cred + Cred.secureBits, keep === 1 ? bits | SECBIT_KEEP_CAPS : bits & ~SECBIT_KEEP_CAPS);
  return 0;
}

function changeAmbient(t: ThreadContext, what: number, which: number): number {
  if (what !== PR_CAP_AMBIENT_IS_SET) separateCred(t);
  const { mem, cred } = t;
  const set = singleSet(mem, cred, Cred.ambientSet);
  if (what === PR_CAP_AMBIENT_CLEAR_ALL) {
    if (which !== 0) return -EINVAL;
    storeSingleSet(mem, cred, Cred.ambientSet, NO_CAPABILITIES);
    return 0;
  }
  if (!(which >= 0 && which <= CAP_LAST_CAP)) return -EINVAL;
  const one = setOf(which);
  switch (what) {
    case PR_CAP_AMBIENT_IS_SET:
      return isSubset(one, set) ? 1 : 0;
    case PR_CAP_AMBIENT_RAISE: {
      const { permitted, inheritable } = capabilitiesOf(mem, cred);
      const barred = mem.getU32(cred + Cred.secureBits) & SECBIT_NO_CAP_AMBIENT_RAISE;
      if (!isSubset(one, permitted) || !isSubset(one, inheritable) || barred !== 0) return -EPERM;
      storeSingleSet(mem, cred, Cred.ambientSet, unionOf(set, one));
      return 0;
    }
    case PR_CAP_AMBIENT_LOWER:
      storeSingleSet(mem, cred, Cred.ambientSet, without(set, one));
      return 0;
    default:
      return -EINVAL;
  }
}

/** What prctl(2) does about capabilities (cap_task_prctl); undefined for an option that is about something else. */
export function capabilityControl(
  t: ThreadContext,
  option: number,
  arguments_: readonly [number, number, number, number],
): number | undefined {
  const { mem, cred } = t;
  const [first, second, third, fourth] = arguments_;
  switch (option) {
    case PR_GET_KEEPCAPS:
      return mem.getU32(cred + Cred.secureBits) & SECBIT_KEEP_CAPS ? 1 : 0;
    case PR_SET_KEEPCAPS:
      return keepCapabilities(t, first);
    case PR_GET_SECUREBITS:
      return mem.getU32(cred + Cred.secureBits);
    case PR_SET_SECUREBITS:
      return setSecureBits(t, first);
    case PR_CAPBSET_READ:
      if (!(first >= 0 && first <= CAP_LAST_CAP)) return -EINVAL;
      return isSubset(setOf(first), singleSet(mem, cred, Cred.boundingSet)) ? 1 : 0;
    case PR_CAPBSET_DROP: {
      if (!capable(t, CAP_SETPCAP)) return -EPERM;
      if (!(first >= 0 && first <= CAP_LAST_CAP)) return -EINVAL;
      separateCred(t);
      const bounding = singleSet(mem, t.cred, Cred.boundingSet);
      storeSingleSet(mem, t.cred, Cred.boundingSet, without(bounding, setOf(first)));
      return 0;
    }
    case PR_CAP_AMBIENT:
      if (third !== 0 || fourth !== 0) return -EINVAL;
      return changeAmbient(t, first, second);
    default:
      return undefined;
  }
}

export const capabilityCalls: SyscallTable = {
  [SYS.SYS_capget]: syscall('capget', ['pointer', 'pointer'], capget),
  [SYS.SYS_capset]: syscall('capset', ['pointer', 'pointer'], capset),
};
