import { copyIn, copyOut, readCString, readU64, write64 } from '../../memory/userAccess.js';
import { targetPageSize } from '../../mm/pageRange.js';
import { monotonicNow } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { textString } from '../../sync/text.js';
import { realtimeNow } from '../clock.js';
import { EINVAL, ENAMETOOLONG, ENOENT, ENOMEM, EPERM } from '../errno.js';
import { descriptorLimit } from '../files/descriptors.js';
import { randomBytes } from '../random.js';
import type { ThreadContext } from '../threadContext.js';
import { utsName } from '../uts.js';
import { OSRELDATE, OSRELEASE, OSTYPE } from './version.js';

/**
 * sysctl(3): what programs ask of the system, by number and by name. Nothing can be set. Numbers of nodes that FreeBSD gives
 * out at start are made up here (they begin at 0x100), as programs look them up by name.
 */
const MAX_NAME = 24;

interface Node {
  readonly name: string;
  readonly oid: readonly number[];
  readonly value: (t: ThreadContext) => Uint8Array;
}

function int(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value | 0, true);
  return bytes;
}

function long(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(Math.floor(value)), true);
  return bytes;
}

function text(value: string): Uint8Array {
  return Buffer.from(`${value}\0`, 'latin1');
}

const memoryBytes = (t: ThreadContext) =>
  t.mem.getU32(MACHINE + Machine.frameCount) * 2 ** t.mem.getU32(MACHINE + Machine.hostPageShift);
const cpus = (t: ThreadContext) => t.mem.getU32(MACHINE + Machine.cpuCount);

/** struct clockinfo: hz, tick, spare, stathz, profhz. */
function clockInfo(): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  [1000, 1000, 0, 127, 8126].forEach((value, i) => {
    view.setInt32(i * 4, value, true);
  });
  return bytes;
}

function bootTime(t: ThreadContext): Uint8Array {
  const up = monotonicNow() - t.mem.getU64(MACHINE + Machine.bootTime);
  const seconds = (realtimeNow(t.mem) - up) / 1000;
  return new Uint8Array([...long(seconds), ...long((seconds % 1) * 1e6)]);
}

const CTL_KERN = 1;
const CTL_VM = 2;
const CTL_HW = 6;
const KERN_PROC = 14;
const KERN_PROC_PATHNAME = 12;

const NODES: readonly Node[] = [
  { name: 'kern.ostype', oid: [CTL_KERN, 1], value: () => text(OSTYPE) },
  { name: 'kern.osrelease', oid: [CTL_KERN, 2], value: () => text(OSRELEASE) },
  { name: 'kern.osrevision', oid: [CTL_KERN, 3], value: () => int(199506) },
  {
    name: 'kern.version',
    oid: [CTL_KERN, 4],
    value: () => text(`${OSTYPE} ${OSRELEASE} GENERIC\n`),
  },
  { name: 'kern.maxproc', oid: [CTL_KERN, 6], value: () => int(4096) },
  { name: 'kern.maxfiles', oid: [CTL_KERN, 7], value: () => int(1048576) },
  { name: 'kern.argmax', oid: [CTL_KERN, 8], value: () => int(524288) },
  { name: 'kern.securelevel', oid: [CTL_KERN, 9], value: () => int(-1) },
  {
    name: 'kern.hostname',
    oid: [CTL_KERN, 10],
    value: (t) => text(Buffer.from(utsName(t.mem, 'nodename', t.thread)).toString('latin1')),
  },
  { name: 'kern.clockrate', oid: [CTL_KERN, 12], value: clockInfo },
  { name: 'kern.posix1version', oid: [CTL_KERN, 17], value: () => int(200112) },
  { name: 'kern.ngroups', oid: [CTL_KERN, 18], value: () => int(1023) },
  { name: 'kern.job_control', oid: [CTL_KERN, 19], value: () => int(1) },
  { name: 'kern.saved_ids', oid: [CTL_KERN, 20], value: () => int(1) },
  { name: 'kern.boottime', oid: [CTL_KERN, 21], value: bootTime },
  { name: 'kern.osreldate', oid: [CTL_KERN, 24], value: () => int(OSRELDATE) },
  { name: 'kern.maxfilesperproc', oid: [CTL_KERN, 27], value: (t) => int(descriptorLimit(t)) },
  { name: 'kern.iov_max', oid: [CTL_KERN, 35], value: () => int(1024) },
  { name: 'kern.arandom', oid: [CTL_KERN, 37], value: (t) => randomBytes(t.mem, 256) },
  { name: 'kern.smp.maxcpus', oid: [CTL_KERN, 0x100, 1], value: () => int(1024) },
  { name: 'kern.smp.cpus', oid: [CTL_KERN, 0x100, 2], value: (t) => int(cpus(t)) },
  { name: 'kern.smp.active', oid: [CTL_KERN, 0x100, 3], value: (t) => int(cpus(t) > 1 ? 1 : 0) },
  { name: 'vm.overcommit', oid: [CTL_VM, 0x101], value: () => int(0) },
  { name: 'hw.machine', oid: [CTL_HW, 1], value: () => text('riscv') },
  { name: 'hw.model', oid: [CTL_HW, 2], value: () => text('Guesthouse') },
  { name: 'hw.ncpu', oid: [CTL_HW, 3], value: (t) => int(cpus(t)) },
  { name: 'hw.byteorder', oid: [CTL_HW, 4], value: () => int(1234) },
  { name: 'hw.physmem', oid: [CTL_HW, 5], value: (t) => long(memoryBytes(t)) },
  { name: 'hw.usermem', oid: [CTL_HW, 6], value: (t) => long(memoryBytes(t)) },
  { name: 'hw.pagesize', oid: [CTL_HW, 7], value: (t) => int(targetPageSize(t)) },
  { name: 'hw.floatingpoint', oid: [CTL_HW, 10], value: () => int(1) },
  { name: 'hw.machine_arch', oid: [CTL_HW, 11], value: () => text('riscv64') },
  { name: 'hw.realmem', oid: [CTL_HW, 12], value: (t) => long(memoryBytes(t)) },
];

const byName = new Map(NODES.map((node) => [node.name, node]));
const byOid = new Map(NODES.map((node) => [node.oid.join('.'), node]));

/** Gives the value to the caller: all of it or ENOMEM with as much as there is room for; *sizeAt is its length. */
function answer(t: ThreadContext, value: Uint8Array, out: number, sizeAt: number): number {
  if (sizeAt === 0) return 0;
  const room = readU64(t, sizeAt);
  if (out !== 0) copyOut(t, out, value.subarray(0, Math.min(room, value.length)));
  write64(t, sizeAt, out === 0 ? value.length : Math.min(room, value.length));
  return out !== 0 && room < value.length ? -ENOMEM : 0;
}

/** sysctl.name2oid: {0, 3} with the name as the new value. */
function nameToOid(t: ThreadContext, out: number, sizeAt: number, name: number, length: number): number {
  if (length <= 0 || length > 1024) return length <= 0 ? -ENOENT : -ENAMETOOLONG;
  const bytes = new Uint8Array(length);
  copyIn(t, name, bytes);
  const node = byName.get(Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, ''));
  if (node === undefined) return -ENOENT;
  return answer(t, new Uint8Array(node.oid.flatMap((part) => [...int(part)])), out, sizeAt);
}

/** kern.proc.pathname.PID, of the caller only. */
function pathname(t: ThreadContext, oid: readonly number[]): Uint8Array | undefined {
  const pid = oid[3] | 0;
  if (oid.length !== 4 || (pid !== -1 && pid !== t.mem.getU32(t.guest + Guest.pid))) return undefined;
  return text(textString(t.mem, t.mem.getU32(t.mm + Mm.exe)));
}

/** __sysctl(name, length of name, old, old length, new, new length). */
export function sysctl(
  t: ThreadContext,
  name: number,
  nameLength: number,
  out: number,
  sizeAt: number,
  fresh: number,
  freshLength: number,
): number {
  const count = nameLength >>> 0;
  if (count < 2 || count > MAX_NAME) return -EINVAL;
  const bytes = new Uint8Array(count * 4);
  copyIn(t, name, bytes);
  const oid = [...new Int32Array(bytes.buffer)];
  if (oid[0] === 0 && oid[1] === 3) return nameToOid(t, out, sizeAt, fresh, freshLength);
  if (oid[0] === CTL_KERN && oid[1] === KERN_PROC && oid[2] === KERN_PROC_PATHNAME) {
    const path = pathname(t, oid);
    return path === undefined ? -ENOENT : answer(t, path, out, sizeAt);
  }
  const node = byOid.get(oid.join('.'));
  if (node === undefined) return -ENOENT;
  if (fresh !== 0) return -EPERM;
  return answer(t, node.value(t), out, sizeAt);
}

/** __sysctlbyname(name, length, old, old length, new, new length). */
export function sysctlByName(
  t: ThreadContext,
  name: number,
  nameLength: number,
  out: number,
  sizeAt: number,
  fresh: number,
): number {
  if (nameLength > 1024) return -ENAMETOOLONG;
  const bytes = readCString(t, name, nameLength + 1) ?? new Uint8Array(0);
  const node = byName.get(Buffer.from(bytes).toString('latin1'));
  if (node === undefined) return -ENOENT;
  if (fresh !== 0) return -EPERM;
  return answer(t, node.value(t), out, sizeAt);
}
