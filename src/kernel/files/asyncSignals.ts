import { withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_MASTER, FILE_PIPE, FILE_SOCKET, FILE_TERMINAL, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL, ESRCH } from '../errno.js';
import { threadByTidLocked } from '../guestRecords.js';
import { visitGuestsLocked } from '../processGroups.js';
import { sendSignal } from '../signals/pendingSignals.js';
import { bandInfo, sentInfo } from '../signals/sigInfo.js';
import { SI_KERNEL, SIGIO, SIGURG } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import {
  addAsync,
  onAsync,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLMSG,
  POLLOUT,
  POLLPRI,
  POLLRDBAND,
  READABLE,
  removeAsync,
  WRITABLE,
} from './events.js';
import { flagsOf, operationsOf } from './openFile.js';
import { O_ACCMODE, O_ASYNC, O_RDONLY, O_WRONLY } from './openFlags.js';

/**
 * Signals that tell of a descriptor's readiness (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC; fs/fcntl.c), and SIGURG. Pipes,
 * sockets and terminals send them.
 */

/** F_OWNER_*: whose id the owner is. */
export const OWNER_TID = 0;
export const OWNER_PID = 1;
export const OWNER_PGRP = 2;

/** si_code of a signal about a descriptor. */
const POLL_IN = 1;
const POLL_OUT = 2;
const POLL_ERR = 4;
const POLL_MSG = 3;
const POLL_PRI = 5;
const POLL_HUP = 6;

const KINDS: ReadonlySet<number> = new Set([FILE_PIPE, FILE_SOCKET, FILE_TERMINAL, FILE_MASTER]);

/** Who is told, and how; a copy of an open file's fields. */
interface Recipient {
  readonly id: number;
  readonly type: number;
  readonly signal: number;
  /** Real and effective user of who said so, whose right to send signals counts. */
  readonly users: readonly [number, number];
  readonly fd: number;
}

function recipientOf(mem: SharedMemory, file: number): Recipient {
  return {
    id: mem.getI32(file + OpenFile.signalOwner),
    type: mem.getU32(file + OpenFile.ownerType),
    signal: mem.getU32(file + OpenFile.ownerSignal),
    users: [mem.getU32(file + OpenFile.ownerUsers), mem.getU32(file + OpenFile.ownerUsers + 4)],
    fd: mem.getI32(file + OpenFile.asyncFd),
  };
}

/** F_SETOWN and F_SETOWN_EX; `id` 0: nobody. Returns 0 or −errno. */
export function setSignalOwner(t: ThreadContext, file: number, type: number, id: number): number {
  const { mem } = t;
  if (type < OWNER_TID || type > OWNER_PGRP) return -EINVAL;
  if (id !== 0 && !visitRecipients(mem, type, id, t.thread, () => {})) return -ESRCH;
  mem.setU32(file + OpenFile.ownerUsers, mem.getU32(t.cred + Cred.uids));
  mem.setU32(file + OpenFile.ownerUsers + 4, mem.getU32(t.cred + Cred.uids + 4));
  mem.setU32(file + OpenFile.ownerType, type);
  mem.setI32(file + OpenFile.signalOwner, id);
  return 0;
}

/** F_SETSIG: 0 stands for SIGIO without particulars. Returns 0 or −errno. */
export function setOwnerSignal(mem: SharedMemory, file: number, signal: number): number {
  if (signal < 0 || signal > 64) return -EINVAL;
  mem.setU32(file + OpenFile.ownerSignal, signal);
  return 0;
}

/** Turns O_ASYNC on or off; `fd` is the descriptor that signals name. Kinds of file that send no signals have the flag only. */
export function setAsync(mem: SharedMemory, file: number, on: boolean, fd: number, owner: number): void {
  const source = KINDS.has(mem.getU32(file + OpenFile.kind))
    ? (operationsOf(mem, file).eventSource?.(mem, file) ?? 0)
    : 0;
  if (on) {
    mem.setI32(file + OpenFile.asyncFd, fd);
    mem.atomicOr(file + OpenFile.flags, O_ASYNC);
    if (source !== 0) addAsync(mem, source, file, owner);
  } else {
    mem.atomicAnd(file + OpenFile.flags, ~O_ASYNC);
    if (source !== 0) removeAsync(mem, source, file, owner);
  }
}

/** Calls `visit` with each guest, and thread or 0, that an owner's id means; says whether there was one. */
function visitRecipients(
  mem: SharedMemory,
  type: number,
  id: number,
  owner: number,
  visit: (guest: number, thread: number) => void,
): boolean {
  return withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    let found = false;
    visitGuestsLocked(mem, (guest) => {
      if (type === OWNER_TID) {
        const thread = withMutex(mem, guest + Guest.threadsLock, owner, () =>
          threadByTidLocked(mem, guest, id),
        );
        if (thread === 0) return false;
        visit(guest, thread);
      } else {
        if (mem.getU32(guest + (type === OWNER_PID ? Guest.pid : Guest.pgid)) !== id) return false;
        visit(guest, 0);
      }
      found = true;
      return type !== OWNER_PGRP;
    });
    return found;
  });
}

/** sigio_perm: whether the one who set the owner may send signals to the guest. */
function maySend(mem: SharedMemory, [real, effective]: readonly [number, number], guest: number): boolean {
  const theirs = [mem.getU32(guest + Guest.cred + Cred.uids), mem.getU32(guest + Guest.cred + Cred.uids + 8)];
  return effective === 0 || theirs.includes(effective) || theirs.includes(real);
}

function send(
  mem: SharedMemory,
  recipient: Recipient,
  signal: number,
  info: Uint8Array,
  owner: number,
): boolean {
  let full = false;
  visitRecipients(mem, recipient.type, recipient.id, owner, (guest, thread) => {
    if (maySend(mem, recipient.users, guest))
      full = sendSignal(mem, owner, guest, thread, signal, info) === 'full' || full;
  });
  return !full;
}

/** SIGURG to the owner of an open file: urgent data has come. The caller holds no lock. */
export function signalUrgent(mem: SharedMemory, file: number, owner: number): void {
  const recipient = recipientOf(mem, file);
  if (recipient.id !== 0) send(mem, recipient, SIGURG, sentInfo(SIGURG, SI_KERNEL, 0, 0), owner);
}

/** What of `mask` an open file's owner hears of: a reader of a pipe hears nothing of room. */
function reasonOf(mem: SharedMemory, file: number, mask: number): readonly [number, number] | undefined {
  const access = mem.getU32(file + OpenFile.kind) === FILE_PIPE ? flagsOf(mem, file) & O_ACCMODE : -1;
  if (mask & POLLPRI) return [POLL_PRI, POLLPRI | POLLRDBAND];
  if (mask & POLLHUP && access !== O_WRONLY) return [POLL_HUP, POLLHUP | POLLERR];
  if (mask & POLLIN && access !== O_WRONLY) return [POLL_IN, READABLE];
  if (mask & POLLERR) return [POLL_ERR, POLLERR];
  if (mask & POLLOUT && access !== O_RDONLY) return [POLL_OUT, WRITABLE | 0x200];
  return undefined;
}

onAsync((mem, file, mask) => {
  const reason = reasonOf(mem, file, mask);
  return reason && signalFor(mem, file, reason);
});

/** Sends what the owner of an open file has asked for (F_SETSIG); undefined when it has none. */
function signalFor(
  mem: SharedMemory,
  file: number,
  reason: readonly [number, number],
): ((owner: number) => unknown) | undefined {
  const recipient = recipientOf(mem, file);
  if (recipient.id === 0) return undefined;
  const plain = (owner: number): unknown =>
    send(mem, recipient, SIGIO, sentInfo(SIGIO, SI_KERNEL, 0, 0), owner);
  if (recipient.signal === 0) return plain;
  const info = bandInfo(recipient.signal, reason[0], reason[1], recipient.fd);
  // Where no more can be queued, the plain signal tells that something was lost.
  return (owner) => send(mem, recipient, recipient.signal, info, owner) || plain(owner);
}

/** What tells the holder of a lease that somebody wants the file; to be called without a lock. */
export function leaseSignal(mem: SharedMemory, file: number, owner: number): () => void {
  const signal = signalFor(mem, file, [POLL_MSG, READABLE | POLLMSG]);
  return () => signal?.(owner);
}

/** The signals of an open file that has no owner yet go to the caller's process, and name `fd` (lease_setup). */
export function ownByDefault(t: ThreadContext, file: number, fd: number): void {
  const { mem } = t;
  mem.setI32(file + OpenFile.asyncFd, fd);
  if (mem.getI32(file + OpenFile.signalOwner) === 0)
    setSignalOwner(t, file, OWNER_PID, mem.getU32(t.guest + Guest.pid));
}
