import { copyIn, copyOut } from '../../memory/userAccess.js';
import { EBADF, EINTR, SyscallError } from '../errno.js';
import { newDescriptor, withFile } from '../files/descriptors.js';
import { deadlineAfter } from '../linux/pollCalls.js';
import { readTimespec } from '../linux/structsTime.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import type { ThreadContext } from '../threadContext.js';
import { freebsdErrno } from './errno.js';
import {
  changeKqueue,
  createKqueue,
  EV_ERROR,
  EV_RECEIPT,
  isKqueue,
  type Kevent,
  waitKqueue,
} from './kqueue.js';
import * as SYS from './syscallNumbers.js';

/** struct kevent: ident, filter, flags, fflags, data, udata, and four words of ext that come back as they are: as zeros. */
const KEVENT_SIZE = 64;
/** More changes and events at a time than anybody asks for. */
const MOST = 65536;

function readChanges(t: ThreadContext, va: number, count: number): Kevent[] {
  const bytes = new Uint8Array(Math.min(Math.max(count, 0), MOST) * KEVENT_SIZE);
  copyIn(t, va, bytes);
  const view = new DataView(bytes.buffer);
  const changes: Kevent[] = [];
  for (let at = 0; at < bytes.length; at += KEVENT_SIZE) {
    changes.push({
      ident: Number(view.getBigUint64(at, true)),
      filter: view.getInt16(at + 8, true),
      flags: view.getUint16(at + 10, true),
      fflags: view.getUint32(at + 12, true),
      data: Number(view.getBigInt64(at + 16, true)),
      udata: view.getBigUint64(at + 24, true),
    });
  }
  return changes;
}

function writeEvents(t: ThreadContext, va: number, events: readonly Kevent[]): void {
  const bytes = new Uint8Array(events.length * KEVENT_SIZE);
  const view = new DataView(bytes.buffer);
  events.forEach((event, i) => {
    const at = i * KEVENT_SIZE;
    view.setBigUint64(at, BigInt(event.ident), true);
    view.setInt16(at + 8, event.filter, true);
    view.setUint16(at + 10, event.flags, true);
    view.setUint32(at + 12, event.fflags, true);
    view.setBigInt64(at + 16, BigInt(event.data), true);
    view.setBigUint64(at + 24, event.udata, true);
  });
  copyOut(t, va, bytes);
}

/** kern_kevent: the changes, and then events, unless there were errors to tell of. */
function kevent(
  t: ThreadContext,
  fd: number,
  changesAt: number,
  changeCount: number,
  eventsAt: number,
  eventCount: number,
  timeout: number,
): number {
  const deadline = timeout === 0 ? Infinity : deadlineAfter(t, readTimespec(t, timeout));
  const changes = readChanges(t, changesAt, changeCount | 0);
  const room = Math.min(Math.max(eventCount | 0, 0), MOST);
  return withFile(t, fd, (file) => {
    if (!isKqueue(t, file)) throw new SyscallError(EBADF);
    const receipts: Kevent[] = [];
    for (const change of changes) {
      const error = tryChange(t, file, change);
      if (error === 0 && !(change.flags & EV_RECEIPT)) continue;
      if (receipts.length >= room) return error;
      receipts.push({ ...change, flags: EV_ERROR, data: error === 0 ? 0 : freebsdErrno(-error) });
    }
    if (receipts.length > 0) {
      writeEvents(t, eventsAt, receipts);
      return receipts.length;
    }
    if (room === 0) return 0;
    const events = waitKqueue(t, file, room, deadline);
    if (typeof events === 'number') return -EINTR;
    writeEvents(t, eventsAt, events);
    return events.length;
  });
}

function tryChange(t: ThreadContext, file: number, change: Kevent): number {
  try {
    return changeKqueue(t, file, change);
  } catch (error) {
    if (error instanceof SyscallError) return -error.errno;
    throw error;
  }
}

export const kqueueCalls: SyscallTable = {
  [SYS.SYS_kqueue]: syscall('kqueue', [], (t) => newDescriptor(t, createKqueue(t), 0)),
  [SYS.SYS_kevent]: syscall('kevent', ['fd', 'pointer', 'int', 'pointer', 'int', 'timespec'], kevent),
};
