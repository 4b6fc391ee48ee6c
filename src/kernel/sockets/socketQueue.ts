import { allocateBlock, freeBlock, hasKernelMemory } from '../../sync/heap.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { OpenFile } from '../../sync/records/openFile.js';
import {
  SOCKET_CLOSED,
  Socket,
  SocketMark,
  Sockets,
  URGENT_NONE,
  URGENT_READ,
  URGENT_VALID,
} from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL } from '../errno.js';
import { OPTION_URGENT_INLINE } from './socketNumbers.js';
import { socketsGlobal } from './socketsGlobal.js';

/**
 * The queue of what a socket is to receive: a ring of bytes that grows with need. Streams keep marks beside it, which say
 * what came along with which bytes; packets have a header with their length and mark.
 *
 * Descriptors move in and out with Sockets.lock held, so that the search for unreachable sockets (rights.ts) sees each of
 * them either in a queue or with somebody.
 */

const FIRST_SIZE = 4096;
/** Growing beyond this is refused when the kernel's memory runs low. */
const MODEST_SIZE = 16384;
/** Bytes of a packet's length and mark before it. */
export const PACKET_HEADER = 8;

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What goes along with data. */
export interface Attached {
  /** Open files, with a reference each. */
  readonly files: readonly number[];
  readonly credentials: Credentials | undefined;
  /** The sender's sockaddr. */
  readonly address: Uint8Array | undefined;
  /** Of a packet; absent for bytes of a stream. */
  readonly packet?: PacketFacts | undefined;
}

/** What is told of a packet that was received. */
export interface PacketFacts {
  /** When it came, microseconds since 1970. */
  readonly time: number;
  /** Where it was sent to, as 16 bytes (IPv4 mapped), its time to live or hop limit, and its type of service or traffic class. */
  readonly to: Uint8Array;
  readonly hops: number;
  readonly trafficClass: number;
}

export const NOTHING_ATTACHED: Attached = { files: [], credentials: undefined, address: undefined };

/** What goes along with a packet that has no mark: nothing was noted of it when it was sent. */
const PLAIN_PACKET: Attached = {
  ...NOTHING_ATTACHED,
  packet: { time: 0, to: new Uint8Array(16), hops: 0, trafficClass: 0 },
};

/** Makes a mark of what goes along, which takes over the references; 0 when that is nothing. */
export function createMark(mem: SharedMemory, attached: Attached, owner: number): number {
  const { files, credentials, address, packet } = attached;
  if (files.length === 0 && credentials === undefined && address === undefined && packet === undefined)
    return 0;
  const mark = allocateBlock(mem, SocketMark.SIZE, owner);
  if (packet !== undefined) {
    mem.f64[(mark + SocketMark.time) >>> 3] = packet.time;
    mem.u8.set(packet.to, mark + SocketMark.toAddress);
    mem.setU32(mark + SocketMark.hops, packet.hops);
    mem.setU32(mark + SocketMark.trafficClass, packet.trafficClass);
  }
  if (credentials !== undefined) {
    mem.setU32(mark + SocketMark.hasCredentials, 1);
    mem.setU32(mark + SocketMark.pid, credentials.pid);
    mem.setU32(mark + SocketMark.uid, credentials.uid);
    mem.setU32(mark + SocketMark.gid, credentials.gid);
  }
  if (address !== undefined) {
    mem.setU32(mark + SocketMark.addressLength, address.length);
    mem.u8.set(address, mark + SocketMark.address);
  }
  if (files.length > 0) {
    const list = allocateBlock(mem, files.length * 4, owner);
    files.forEach((file, i) => {
      mem.setU32(list + i * 4, file);
    });
    mem.setU32(mark + SocketMark.files, list);
    mem.setU32(mark + SocketMark.fileCount, files.length);
  }
  return mark;
}

/** Frees a mark without its files. */
export function freeMark(mem: SharedMemory, mark: number, owner: number): void {
  const files = mem.getU32(mark + SocketMark.files);
  if (files !== 0) freeBlock(mem, files, owner);
  freeBlock(mem, mark, owner);
}

export function filesOfMark(mem: SharedMemory, mark: number): number[] {
  const list = mem.getU32(mark + SocketMark.files);
  const count = mem.getU32(mark + SocketMark.fileCount);
  return Array.from({ length: count }, (_, i) => mem.getU32(list + i * 4));
}

function attachedOf(mem: SharedMemory, mark: number, files: readonly number[]): Attached {
  if (mark === 0) return NOTHING_ATTACHED;
  const length = mem.getU32(mark + SocketMark.addressLength);
  const address = mark + SocketMark.address;
  return {
    files,
    credentials:
      mem.getU32(mark + SocketMark.hasCredentials) === 0
        ? undefined
        : {
            pid: mem.getU32(mark + SocketMark.pid),
            uid: mem.getU32(mark + SocketMark.uid),
            gid: mem.getU32(mark + SocketMark.gid),
          },
    address: length === 0 ? undefined : mem.u8.slice(address, address + length),
    packet: {
      time: mem.f64[(mark + SocketMark.time) >>> 3],
      to: mem.u8.slice(mark + SocketMark.toAddress, mark + SocketMark.toAddress + 16),
      hops: mem.getU32(mark + SocketMark.hops),
      trafficClass: mem.getU32(mark + SocketMark.trafficClass),
    },
  };
}

/** Counts descriptors into (1) or out of (−1) queues. Sockets.lock is held. */
export function countInFlightLocked(
  mem: SharedMemory,
  files: readonly number[],
  by: 1 | -1,
  owner: number,
): void {
  const global = socketsGlobal(mem, owner);
  for (const file of files) {
    mem.setI32(file + OpenFile.inFlight, mem.getI32(file + OpenFile.inFlight) + by);
    mem.atomicAdd(global + Sockets.inFlight, by);
  }
}

/** Room for `more` bytes in the ring; false when there is no memory. Socket.lock is held. */
function makeRoomLocked(mem: SharedMemory, socket: number, more: number, owner: number): boolean {
  const used = mem.getI32(socket + Socket.used);
  const before = mem.getU32(socket + Socket.ringSize);
  if (used + more <= before) return true;
  let size = Math.max(before, FIRST_SIZE);
  while (size < used + more) size *= 2;
  if (size > MODEST_SIZE && !hasKernelMemory(mem, size)) return false;
  const ring = allocateBlock(mem, size, owner);
  const old = mem.getU32(socket + Socket.ring);
  if (old !== 0) {
    const head = mem.getU32(socket + Socket.ringHead);
    const first = Math.min(used, before - head);
    mem.u8.copyWithin(ring, old + head, old + head + first);
    mem.u8.copyWithin(ring + first, old, old + used - first);
    freeBlock(mem, old, owner);
  }
  mem.setU32(socket + Socket.ring, ring);
  mem.setU32(socket + Socket.ringSize, size);
  mem.setU32(socket + Socket.ringHead, 0);
  return true;
}

/** Copies into the ring, `at` bytes after its oldest. Socket.lock is held. */
function copyToRing(mem: SharedMemory, socket: number, at: number, bytes: Uint8Array): void {
  const size = mem.getU32(socket + Socket.ringSize);
  const ring = mem.getU32(socket + Socket.ring);
  const from = (mem.getU32(socket + Socket.ringHead) + at) & (size - 1);
  const first = Math.min(bytes.length, size - from);
  if (first === bytes.length) mem.u8.set(bytes, ring + from);
  else {
    mem.u8.set(bytes.subarray(0, first), ring + from);
    mem.u8.set(bytes.subarray(first), ring);
  }
}

/** Copies out of the ring, from `at` bytes after its oldest. Socket.lock is held. */
function copyFromRing(mem: SharedMemory, socket: number, at: number, into: Uint8Array): void {
  const size = mem.getU32(socket + Socket.ringSize);
  const ring = mem.getU32(socket + Socket.ring);
  const from = (mem.getU32(socket + Socket.ringHead) + at) & (size - 1);
  const first = Math.min(into.length, size - from);
  into.set(mem.u8.subarray(ring + from, ring + from + first));
  if (first < into.length) into.set(mem.u8.subarray(ring, ring + into.length - first), first);
}

/** Drops the oldest `count` bytes. Socket.lock is held. */
function consume(mem: SharedMemory, socket: number, count: number): void {
  const size = mem.getU32(socket + Socket.ringSize);
  const used = mem.getI32(socket + Socket.used) - count;
  mem.setU32(
    socket + Socket.ringHead,
    used === 0 ? 0 : (mem.getU32(socket + Socket.ringHead) + count) & (size - 1),
  );
  mem.atomicStore(socket + Socket.used, used);
}

/** Socket.wanted of those whom any room will do. */
const ANY_ROOM = 0x7fff_ffff;

/** Nothing was put: the queue's socket is closed, or there is not enough room. */
export const PUT_CLOSED = -1;
export const PUT_FULL = 0;

/**
 * Appends what fits of `bytes` (some, below `limit` in all) to a stream's queue, with `mark` (or 0) belonging to all of
 * them; the mark is the queue's unless the result is PUT_CLOSED or PUT_FULL. The last byte may be urgent. Returns how many bytes.
 */
export function putStream(
  mem: SharedMemory,
  socket: number,
  bytes: Uint8Array,
  limit: number,
  mark: number,
  owner: number,
  urgent = false,
): number {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    if (mem.atomicLoad(socket + Socket.state) === SOCKET_CLOSED) return PUT_CLOSED;
    const used = mem.getI32(socket + Socket.used);
    let count = Math.min(bytes.length, limit - used);
    if (count > 0 && !makeRoomLocked(mem, socket, count, owner))
      count = Math.min(count, mem.getU32(socket + Socket.ringSize) - used);
    if (count <= 0) {
      mem.atomicStore(socket + Socket.wanted, limit);
      return PUT_FULL;
    }
    copyToRing(mem, socket, used, count === bytes.length ? bytes : bytes.subarray(0, count));
    if (mark !== 0) {
      const start = mem.getU64(socket + Socket.position) + used;
      mem.set64(mark + SocketMark.start, start);
      mem.set64(mark + SocketMark.end, start + count);
      const last = mem.getU32(socket + Socket.marksLast);
      if (last === 0) mem.setU32(socket + Socket.marksFirst, mark);
      else mem.setU32(last + SocketMark.next, mark);
      mem.setU32(socket + Socket.marksLast, mark);
    }
    // Of urgent bytes the last is meant; one that nobody has taken yet is an ordinary one from now on.
    if (urgent && count === bytes.length) {
      mem.set64(socket + Socket.urgentAt, mem.getU64(socket + Socket.position) + used + count - 1);
      mem.atomicStore(socket + Socket.urgent, URGENT_VALID);
    }
    mem.atomicStore(socket + Socket.used, used + count);
    return count;
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}

/**
 * Appends a packet with its mark (or 0), which is the queue's unless the result is PUT_CLOSED or PUT_FULL; otherwise 1. There
 * is always room in an empty queue; `most` is how many packets there may be.
 */
export function putPacket(
  mem: SharedMemory,
  socket: number,
  bytes: Uint8Array,
  limit: number,
  most: number,
  mark: number,
  owner: number,
): number {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    if (mem.atomicLoad(socket + Socket.state) === SOCKET_CLOSED) return PUT_CLOSED;
    const used = mem.getI32(socket + Socket.used);
    const need = PACKET_HEADER + bytes.length;
    const full = used > 0 && (used + need > limit || mem.getI32(socket + Socket.packets) >= most);
    if (full || !makeRoomLocked(mem, socket, need, owner)) {
      mem.atomicStore(socket + Socket.wanted, ANY_ROOM);
      return PUT_FULL;
    }
    headerWords[0] = bytes.length;
    headerWords[1] = mark;
    copyToRing(mem, socket, used, header);
    copyToRing(mem, socket, used + PACKET_HEADER, bytes);
    mem.atomicStore(socket + Socket.used, used + need);
    mem.atomicAdd(socket + Socket.packets, 1);
    return 1;
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}

const headerWords = new Uint32Array(2);
const header = new Uint8Array(headerWords.buffer);

/** What was taken out of a queue. */
export interface Taken {
  /** Bytes copied. */
  readonly count: number;
  /** Packets: bytes there were. */
  readonly length: number;
  /** Senders have waited for room, and there is some. */
  readonly tellSenders: boolean;
  readonly attached: Attached;
}

/** Descriptors would be taken: the caller must hold Sockets.lock, and call again. */
export const NEEDS_SOCKETS_LOCK = 'needs Sockets.lock';

const ENDED: Taken = { count: 0, length: 0, tellSenders: false, attached: NOTHING_ATTACHED };

export interface TakeOptions {
  /** Leave everything in (MSG_PEEK). References of descriptors are then new ones. */
  readonly peek: boolean;
  /** Do not mix bytes of different senders (SO_PASSCRED). */
  readonly apart: boolean;
  /** Sockets.lock is held. */
  readonly locked: boolean;
  /** These bytes follow others that the same call has taken: an urgent byte ends it. */
  readonly more?: boolean;
}

/**
 * Where the urgent byte of a stream bars the way: bytes before it, −1 where none does. (In the ordinary stream it is left out, unless
 * it was asked for there.) Socket.lock is held.
 */
function urgentOffset(mem: SharedMemory, socket: number): number {
  if (mem.atomicLoad(socket + Socket.urgent) === URGENT_NONE) return -1;
  return mem.getU64(socket + Socket.urgentAt) - mem.getU64(socket + Socket.position);
}

/** Bytes of a stream that can be read without the urgent one; a look without the lock. */
export function readableBytes(mem: SharedMemory, socket: number): number {
  const used = mem.atomicLoad(socket + Socket.used);
  if (used !== 1 || mem.atomicLoad(socket + Socket.urgent) === URGENT_NONE) return used;
  if (mem.atomicLoad(socket + Socket.options) & OPTION_URGENT_INLINE) return used;
  return urgentOffset(mem, socket) === 0 ? 0 : used;
}

/** Bytes that FIONREAD tells of: those before the urgent one, where that is kept apart (tcp_inq). */
export function bytesBeforeMark(mem: SharedMemory, socket: number): number {
  const used = mem.atomicLoad(socket + Socket.used);
  if (mem.atomicLoad(socket + Socket.options) & OPTION_URGENT_INLINE) return used;
  const before = urgentOffset(mem, socket);
  return before < 0 ? used : before;
}

/** Says whether what is read next comes after the urgent byte's place (SIOCATMARK). */
export function atUrgentMark(mem: SharedMemory, socket: number): boolean {
  return urgentOffset(mem, socket) === 0;
}

/** recv with MSG_OOB: the urgent byte, or −errno (tcp_recv_urg). */
export function takeUrgent(mem: SharedMemory, socket: number, peek: boolean, owner: number): number {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    const inline = (mem.atomicLoad(socket + Socket.options) & OPTION_URGENT_INLINE) !== 0;
    if (inline || mem.atomicLoad(socket + Socket.urgent) !== URGENT_VALID) return -EINVAL;
    copyFromRing(mem, socket, urgentOffset(mem, socket), oneByte);
    if (!peek) mem.atomicStore(socket + Socket.urgent, URGENT_READ);
    return oneByte[0];
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}

const oneByte = new Uint8Array(1);

/** Takes bytes of a stream, at least one; undefined when there are none. */
export function takeStream(
  mem: SharedMemory,
  socket: number,
  into: Uint8Array,
  { peek, apart, locked, more }: TakeOptions,
  owner: number,
): Taken | undefined | typeof NEEDS_SOCKETS_LOCK {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    const urgent = urgentOffset(mem, socket);
    // What the call has taken ends here; a next one goes on behind the mark.
    if (urgent === 0 && more) return ENDED;
    const inline = (mem.atomicLoad(socket + Socket.options) & OPTION_URGENT_INLINE) !== 0;
    const skipped = urgent === 0 && !inline ? 1 : 0;
    if (skipped === 1 && !peek) passUrgentLocked(mem, socket, owner);
    const left = peek ? skipped : 0;
    const used = mem.getI32(socket + Socket.used) - left;
    if (used <= 0) return undefined;
    let count = Math.min(used, into.length);
    if (urgent > 0) count = Math.min(count, urgent);
    let attached = NOTHING_ATTACHED;
    let mark = mem.getU32(socket + Socket.marksFirst);
    const position = mark === 0 && !apart ? 0 : mem.getU64(socket + Socket.position);
    for (; mark !== 0; mark = mem.getU32(mark + SocketMark.next)) {
      const start = mem.getU64(mark + SocketMark.start);
      const end = mem.getU64(mark + SocketMark.end);
      if (start >= position + count) break;
      if (mem.getU32(mark + SocketMark.fileCount) > 0 && !locked) return NEEDS_SOCKETS_LOCK;
      if (apart && start > position) {
        count = start - position;
        break;
      }
      // Descriptors come with the first of their bytes, and nothing beyond the last of them is read along.
      if (mem.getU32(mark + SocketMark.fileCount) > 0 || apart) {
        count = Math.min(count, end - position);
        attached = { ...attachedOf(mem, mark, takeFilesLocked(mem, mark, peek, owner)), packet: undefined };
        break;
      }
    }
    copyFromRing(mem, socket, left, count === into.length ? into : into.subarray(0, count));
    if (peek) return { count, length: count, tellSenders: false, attached };
    consumeStreamLocked(mem, socket, count, owner);
    if (urgent === 0) mem.atomicStore(socket + Socket.urgent, URGENT_NONE);
    return { count, length: count, tellSenders: tellSenders(mem, socket), attached };
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}

/** Drops the oldest bytes of a stream, and the marks that belong to none of the others. Socket.lock is held. */
function consumeStreamLocked(mem: SharedMemory, socket: number, count: number, owner: number): void {
  consume(mem, socket, count);
  const now = mem.getU64(socket + Socket.position) + count;
  mem.set64(socket + Socket.position, now);
  for (;;) {
    const first = mem.getU32(socket + Socket.marksFirst);
    if (first === 0 || mem.getU64(first + SocketMark.end) > now) break;
    const next = mem.getU32(first + SocketMark.next);
    mem.setU32(socket + Socket.marksFirst, next);
    if (next === 0) mem.setU32(socket + Socket.marksLast, 0);
    freeMark(mem, first, owner);
  }
}

/** Leaves the urgent byte, which is the oldest, behind: it can no longer be received. Socket.lock is held. */
function passUrgentLocked(mem: SharedMemory, socket: number, owner: number): void {
  mem.atomicStore(socket + Socket.urgent, URGENT_NONE);
  consumeStreamLocked(mem, socket, 1, owner);
}

/** Takes one packet, or what fits of it; undefined when there is none. */
export function takePacket(
  mem: SharedMemory,
  socket: number,
  into: Uint8Array,
  { peek, locked }: TakeOptions,
  owner: number,
): Taken | undefined | typeof NEEDS_SOCKETS_LOCK {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    const used = mem.getI32(socket + Socket.used);
    if (used === 0) return undefined;
    copyFromRing(mem, socket, 0, header);
    const [length, mark] = headerWords;
    if (mark !== 0 && mem.getU32(mark + SocketMark.fileCount) > 0 && !locked) return NEEDS_SOCKETS_LOCK;
    const count = Math.min(length, into.length);
    copyFromRing(mem, socket, PACKET_HEADER, into.subarray(0, count));
    const files = mark === 0 ? [] : takeFilesLocked(mem, mark, peek, owner);
    const attached = mark === 0 ? PLAIN_PACKET : attachedOf(mem, mark, files);
    if (peek) return { count, length, tellSenders: false, attached };
    consume(mem, socket, PACKET_HEADER + length);
    mem.atomicAdd(socket + Socket.packets, -1);
    if (mark !== 0) freeMark(mem, mark, owner);
    return { count, length, tellSenders: tellSenders(mem, socket), attached };
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}

/** Bytes of the packet that is the next to be received; 0: there is none (or an empty one). */
export function firstPacketLength(mem: SharedMemory, socket: number): number {
  if (mem.atomicLoad(socket + Socket.used) === 0) return 0;
  const ring = mem.getU32(socket + Socket.ring);
  const at = mem.getU32(socket + Socket.ringHead);
  let length = 0;
  // A look without the lock: another thread may be taking it right now, as it may right after.
  for (let i = 3; i >= 0; i--)
    length = length * 256 + mem.u8[ring + ((at + i) & (mem.getU32(socket + Socket.ringSize) - 1))];
  return length;
}

/**
 * Whether those who send to `socket` are to be told of room: they have found too little, and there is a good deal now. Socket.lock
 * is held.
 */
function tellSenders(mem: SharedMemory, socket: number): boolean {
  const limit = mem.atomicLoad(socket + Socket.wanted);
  if (limit === 0 || mem.getI32(socket + Socket.used) * 2 > limit) return false;
  mem.atomicStore(socket + Socket.wanted, 0);
  return true;
}

/** The descriptors of a mark, which has none afterwards; with `peek` new references to them. Sockets.lock is held. */
function takeFilesLocked(mem: SharedMemory, mark: number, peek: boolean, owner: number): number[] {
  const files = filesOfMark(mem, mark);
  if (files.length === 0) return files;
  if (peek) {
    for (const file of files) mem.atomicAdd(file + OpenFile.refs, 1);
    return files;
  }
  countInFlightLocked(mem, files, -1, owner);
  mem.setU32(mark + SocketMark.fileCount, 0);
  return files;
}

/** Marks in a queue, of streams or packets. Socket.lock is held. */
function marksLocked(mem: SharedMemory, socket: number, packets: boolean): number[] {
  const marks: number[] = [];
  if (!packets) {
    for (let m = mem.getU32(socket + Socket.marksFirst); m !== 0; m = mem.getU32(m + SocketMark.next))
      marks.push(m);
    return marks;
  }
  const used = mem.getI32(socket + Socket.used);
  for (let at = 0; at < used; at += PACKET_HEADER + headerWords[0]) {
    copyFromRing(mem, socket, at, header);
    if (headerWords[1] !== 0) marks.push(headerWords[1]);
  }
  return marks;
}

/** Open files in a queue. Sockets.lock is held. */
export function filesInQueueLocked(
  mem: SharedMemory,
  socket: number,
  packets: boolean,
  owner: number,
): number[] {
  lockMutex(mem, socket + Socket.lock, owner);
  const files = marksLocked(mem, socket, packets).flatMap((mark) => filesOfMark(mem, mark));
  unlockMutex(mem, socket + Socket.lock, owner);
  return files;
}

/**
 * Throws everything in the queue away. Returns the open files that were in it, whose references are the caller's now.
 * Sockets.lock is held.
 */
export function discardQueueLocked(
  mem: SharedMemory,
  socket: number,
  packets: boolean,
  owner: number,
): number[] {
  lockMutex(mem, socket + Socket.lock, owner);
  try {
    const files: number[] = [];
    for (const mark of marksLocked(mem, socket, packets)) {
      files.push(...takeFilesLocked(mem, mark, false, owner));
      freeMark(mem, mark, owner);
    }
    mem.setU32(socket + Socket.marksFirst, 0);
    mem.setU32(socket + Socket.marksLast, 0);
    const ring = mem.getU32(socket + Socket.ring);
    if (ring !== 0) freeBlock(mem, ring, owner);
    mem.setU32(socket + Socket.ring, 0);
    mem.setU32(socket + Socket.ringSize, 0);
    mem.atomicStore(socket + Socket.used, 0);
    mem.atomicStore(socket + Socket.packets, 0);
    return files;
  } finally {
    unlockMutex(mem, socket + Socket.lock, owner);
  }
}
