import { copyIn, writeU32 } from '../../memory/userAccess.js';
import { Thread } from '../../sync/records/thread.js';
import { type CapabilitySet, capabilitiesOf, isSubset, setCapabilities, unionOf } from '../capabilities.js';
import { EFAULT, EINVAL, EPERM } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { withThread } from '../withThread.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** capget(2), capset(2). */

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
  const sets = withThread(t, header.pid, (thread) =>
    capabilitiesOf(t.mem, t.mem.getU32(thread + Thread.guest)),
  );
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
  const now = capabilitiesOf(t.mem, t.guest);
  if (!isSubset(wanted.permitted, now.permitted)) return -EPERM;
  if (!isSubset(wanted.effective, wanted.permitted)) return -EPERM;
  if (!isSubset(wanted.inheritable, unionOf(now.inheritable, now.permitted))) return -EPERM;
  setCapabilities(t.mem, t.guest, wanted);
  return 0;
}

export const capabilityCalls: SyscallTable = {
  [SYS.SYS_capget]: syscall('capget', ['pointer', 'pointer'], capget),
  [SYS.SYS_capset]: syscall('capset', ['pointer', 'pointer'], capset),
};
