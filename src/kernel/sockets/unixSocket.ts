import { chmodSync } from 'node:fs';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { Fs } from '../../sync/records/files.js';
import {
  SOCKET_CONNECTED,
  SOCKET_LISTENING,
  SOCKET_UNCONNECTED,
  Socket,
  Sockets,
} from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textString } from '../../sync/text.js';
import {
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  EINVAL,
  EISCONN,
  ENOENT,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  EPROTOTYPE,
  SyscallError,
} from '../errno.js';
import { ownCreated } from '../files/created.js';
import { WRITABLE } from '../files/events.js';
import { S_IFMT, S_IFSOCK } from '../files/fileStatus.js';
import { hasProcFd, hostArgument, hostCall, lstatHost, pinHost, withParent } from '../files/hostAccess.js';
import {
  AT_FDCWD,
  lookup,
  parentOf,
  requireExisting,
  requireWritable,
  startDirectory,
} from '../files/pathResolution.js';
import { MAY_WRITE, requireAccess, requireCreate, subjectOf } from '../files/permission.js';
import type { HostPlace } from '../files/place.js';
import type { ThreadContext } from '../threadContext.js';
import { awaitHost } from './awaitHost.js';
import { HostOperation } from './hostRequests.js';
import { bindNameLocked, findBoundLocked, keyOfAbstract, keyOfInode, unbindLocked } from './names.js';
import {
  acquirePeer,
  addWaiting,
  closeSocket,
  createSocket,
  dropSocket,
  hasBacklog,
  hasOption,
  isConnectionBased,
  joinSockets,
  noteCredentials,
  retainSocket,
  setPeer,
  setState,
  signalSocket,
  stateOf,
  waitOnSocket,
} from './socket.js';
import { AF_UNIX, OPTION_PASS_CREDENTIALS } from './socketNumbers.js';
import { socketsGlobal } from './socketsGlobal.js';
import { interruptedResult, timeoutDeadline } from './socketTimeouts.js';
import { parseUnixAddress, type UnixAddress } from './unixAddress.js';

/** AF_UNIX: names, listening and connecting (man 7 unix, net/unix/af_unix.c). */

/** Names that the kernel gives by itself are five hexadecimal digits. */
const AUTOMATIC_NAMES = 0x10_0000;

/** Two connected sockets without names (socketpair). */
export function createUnixPair(t: ThreadContext, type: number): readonly [number, number] {
  const { mem, thread } = t;
  const pair = [0, 0].map(() => {
    const socket = createSocket(mem, AF_UNIX, type, 0, thread);
    noteCredentials(t, socket);
    setState(mem, socket, SOCKET_CONNECTED);
    return socket;
  });
  joinSockets(mem, pair[0], pair[1], thread);
  return [pair[0], pair[1]];
}

function setName(mem: SharedMemory, socket: number, name: string, owner: number): void {
  const text = allocateText(mem, name, owner);
  lockMutex(mem, socket + Socket.lock, owner);
  mem.setU32(socket + Socket.name, text);
  unlockMutex(mem, socket + Socket.lock, owner);
}

/** bind(2). Returns 0 or −errno. */
export function bindUnix(t: ThreadContext, socket: number, bytes: Uint8Array): number {
  const { mem, thread } = t;
  const address = parseUnixAddress(bytes);
  if (address.kind === 'unnamed') return nameAutomatically(t, socket);
  if (mem.getU32(socket + Socket.name) !== 0) return -EINVAL;
  if (address.kind === 'path') return bindPath(t, socket, address);
  const global = socketsGlobal(mem, thread);
  return withMutex(mem, global + Sockets.lock, thread, () =>
    bindAbstractLocked(mem, socket, address.name, thread),
  );
}

/** Whether an AF_UNIX socket has that abstract name and type; names of different types do not meet. */
function hasAbstractName(mem: SharedMemory, socket: number, type: number, name: string): boolean {
  return (
    mem.getU32(socket + Socket.family) === AF_UNIX &&
    mem.getU32(socket + Socket.type) === type &&
    textString(mem, mem.getU32(socket + Socket.name)) === name
  );
}

function bindAbstractLocked(mem: SharedMemory, socket: number, name: string, owner: number): number {
  if (mem.getU32(socket + Socket.name) !== 0) return -EINVAL;
  const key = keyOfAbstract(name);
  const type = mem.getU32(socket + Socket.type);
  const taken = findBoundLocked(mem, key, (other) => hasAbstractName(mem, other, type, name), owner);
  if (taken.length > 0) return -EADDRINUSE;
  setName(mem, socket, name, owner);
  bindNameLocked(mem, socket, key, owner);
  return 0;
}

/** Gives an unnamed socket an abstract name that nothing else has. */
function nameAutomatically(t: ThreadContext, socket: number): number {
  const { mem, thread } = t;
  if (mem.getU32(socket + Socket.name) !== 0) return 0;
  const global = socketsGlobal(mem, thread);
  return withMutex(mem, global + Sockets.lock, thread, () => {
    for (let n = 0; n < AUTOMATIC_NAMES; n++) {
      const number = (mem.getU32(global + Sockets.lastName) + 1) % AUTOMATIC_NAMES;
      mem.setU32(global + Sockets.lastName, number);
      const name = `\0${number.toString(16).padStart(5, '0')}`;
      if (bindAbstractLocked(mem, socket, name, thread) === 0) return 0;
    }
    return -ENOSPC;
  });
}

/** Linux names a socket with SO_PASSCRED when it first connects or sends. */
export function nameForCredentials(t: ThreadContext, socket: number): void {
  if (hasOption(t.mem, socket, OPTION_PASS_CREDENTIALS)) nameAutomatically(t, socket);
}

function bindPath(t: ThreadContext, socket: number, address: UnixAddress & { kind: 'path' }): number {
  const { mem, thread } = t;
  const { path } = address;
  const start = path.startsWith('/') ? '/' : startDirectory(t, AT_FDCWD);
  const { place, unnamed, trailingSlash } = lookup(t, start, path, { follow: false });
  const exists = place.kind === 'made' || (place.kind === 'host' && place.stats !== undefined);
  if (exists || unnamed !== undefined) return -EADDRINUSE;
  if (trailingSlash) return -ENOENT;
  requireWritable(place);
  requireCreate(t, parentOf(t, place));
  const { dev, ino, pinned } = makeNode(t, socket, place);
  mem.setI32(socket + Socket.pinned, pinned + 1);
  setName(mem, socket, address.name, thread);
  const key = keyOfInode(dev, ino);
  const global = socketsGlobal(mem, thread);
  withMutex(mem, global + Sockets.lock, thread, () => {
    // A socket whose file was removed and could not be pinned, if the host has given the new one its inode number.
    for (const old of findBoundLocked(mem, key, (other) => hasInode(mem, other, dev, ino), thread))
      unbindLocked(mem, old, thread);
    mem.set64(socket + Socket.dev, dev);
    mem.set64(socket + Socket.ino, ino);
    bindNameLocked(mem, socket, key, thread);
  });
  return 0;
}

function hasInode(mem: SharedMemory, socket: number, dev: number, ino: number): boolean {
  return mem.getU64(socket + Socket.ino) === ino && mem.getU64(socket + Socket.dev) === dev;
}

/** Makes the inode of a path, which must be vacant. The main thread does it: Node has no call for it but listening. */
function makeNode(
  t: ThreadContext,
  socket: number,
  place: HostPlace,
): { dev: number; ino: number; pinned: number } {
  const { mem, thread } = t;
  return withParent(place, (path) => {
    const text = allocateText(mem, path, thread);
    const errno = awaitHost(t, socket, HostOperation.MakeNode, text);
    freeText(mem, text, thread);
    if (errno !== 0) throw new SyscallError(errno);
    const stats = lstatHost(path);
    if (stats === undefined) throw new SyscallError(ENOENT);
    const mode = 0o777 & ~mem.getU32(t.fs + Fs.umask);
    if (hasProcFd) hostCall(() => chmodSync(hostArgument(path), mode));
    ownCreated(t, path, path.slice(0, path.lastIndexOf('/')), mode, 'file');
    return { dev: Number(stats.dev), ino: Number(stats.ino), pinned: pinHost(path) };
  });
}

/**
 * The socket that is bound to an address, with a reference. Throws SyscallError as connect(2) does: ENOENT, ECONNREFUSED,
 * EPROTOTYPE.
 */
export function findUnix(t: ThreadContext, address: UnixAddress, type: number): number {
  const { mem, thread } = t;
  const global = socketsGlobal(mem, thread);
  const find = (key: number, matches: (socket: number) => boolean): number =>
    withMutex(mem, global + Sockets.lock, thread, () => {
      const [found] = findBoundLocked(mem, key, matches, thread);
      if (found === undefined) throw new SyscallError(ECONNREFUSED);
      retainSocket(mem, found);
      return found;
    });
  if (address.kind === 'unnamed') throw new SyscallError(EINVAL);
  if (address.kind === 'abstract')
    return find(keyOfAbstract(address.name), (other) => hasAbstractName(mem, other, type, address.name));
  const start = address.path.startsWith('/') ? '/' : startDirectory(t, AT_FDCWD);
  const place = requireExisting(lookup(t, start, address.path, { follow: true }));
  if (place.kind !== 'host' || place.stats === undefined) throw new SyscallError(ECONNREFUSED);
  requireAccess(t, subjectOf(t), place, MAY_WRITE);
  if ((Number(place.stats.mode) & S_IFMT) !== S_IFSOCK) throw new SyscallError(ECONNREFUSED);
  const dev = Number(place.stats.dev);
  const ino = Number(place.stats.ino);
  const found = find(keyOfInode(dev, ino), (other) => hasInode(mem, other, dev, ino));
  if (mem.getU32(found + Socket.type) === type) return found;
  dropSocket(mem, found, thread);
  throw new SyscallError(EPROTOTYPE);
}

/** listen(2): the socket has a name. */
export function listenUnix(t: ThreadContext, socket: number): number {
  const { mem } = t;
  if (!isConnectionBased(mem, socket)) return -EOPNOTSUPP;
  if (mem.getU32(socket + Socket.name) === 0) return -EINVAL;
  const state = stateOf(mem, socket);
  if (state !== SOCKET_UNCONNECTED && state !== SOCKET_LISTENING) return -EINVAL;
  noteCredentials(t, socket);
  setState(mem, socket, SOCKET_LISTENING);
  return 0;
}

/** connect(2). Returns 0 or −errno. */
export function connectUnix(t: ThreadContext, socket: number, bytes: Uint8Array, noWait: boolean): number {
  const address = parseUnixAddress(bytes);
  nameForCredentials(t, socket);
  return isConnectionBased(t.mem, socket)
    ? connectStream(t, socket, address, noWait)
    : connectDatagrams(t, socket, address);
}

/** connect(2) of a datagram socket with AF_UNSPEC: sends nowhere in particular any more. */
export function disconnectUnix(t: ThreadContext, socket: number): number {
  if (isConnectionBased(t.mem, socket)) return -EINVAL;
  setPeer(t.mem, socket, 0, t.thread);
  setState(t.mem, socket, SOCKET_UNCONNECTED);
  return 0;
}

function connectDatagrams(t: ThreadContext, socket: number, address: UnixAddress): number {
  const { mem, thread } = t;
  const other = findUnix(t, address, mem.getU32(socket + Socket.type));
  try {
    if (!maySend(mem, socket, other)) return -EPERM;
    setPeer(mem, socket, other, thread);
    setState(mem, socket, SOCKET_CONNECTED);
    return 0;
  } finally {
    dropSocket(mem, other, thread);
  }
}

/** Whether a datagram socket takes packets from `from`: it is connected to nobody else. */
export function maySend(mem: SharedMemory, from: number, to: number): boolean {
  const peer = mem.atomicLoad(to + Socket.peer) >>> 0;
  return peer === 0 || peer === from;
}

function connectStream(t: ThreadContext, socket: number, address: UnixAddress, noWait: boolean): number {
  const { mem, thread } = t;
  const deadline = timeoutDeadline(t, socket, Socket.sendTimeout);
  for (;;) {
    const listener = findUnix(t, address, mem.getU32(socket + Socket.type));
    try {
      if (stateOf(mem, listener) !== SOCKET_LISTENING) return -ECONNREFUSED;
      if (!hasBacklog(mem, listener)) {
        if (noWait) return -EAGAIN;
        const room = (): boolean => hasBacklog(mem, listener) || stateOf(mem, listener) !== SOCKET_LISTENING;
        const outcome = waitOnSocket(t, listener, room, { deadline, stays: true });
        if (outcome === 'interrupted') return interruptedResult(deadline);
        if (outcome === 'timed-out') return -EAGAIN;
        continue;
      }
      const state = stateOf(mem, socket);
      if (state === SOCKET_CONNECTED) return -EISCONN;
      if (state !== SOCKET_UNCONNECTED) return -EINVAL;
      if (connectTo(t, socket, listener)) return 0;
    } finally {
      dropSocket(mem, listener, thread);
    }
  }
}

/** Makes the connection to a listener, or says that it has no room any more. */
function connectTo(t: ThreadContext, socket: number, listener: number): boolean {
  const { mem, thread } = t;
  const child = createSocket(mem, AF_UNIX, mem.getU32(socket + Socket.type), 0, thread);
  const name = mem.getU32(listener + Socket.name);
  mem.setU32(child + Socket.name, allocateText(mem, textString(mem, name), thread));
  mem.atomicStore(child + Socket.options, mem.atomicLoad(listener + Socket.options));
  for (const field of [Socket.pid, Socket.uid, Socket.gid])
    mem.setU32(child + field, mem.getU32(listener + field));
  noteCredentials(t, socket);
  joinSockets(mem, socket, child, thread);
  setState(mem, child, SOCKET_CONNECTED);
  setState(mem, socket, SOCKET_CONNECTED);
  if (addWaiting(mem, listener, child, thread)) {
    signalSocket(mem, socket, WRITABLE, thread);
    return true;
  }
  setState(mem, socket, SOCKET_UNCONNECTED);
  setPeer(mem, child, 0, thread);
  setPeer(mem, socket, 0, thread);
  closeSocket(mem, child, 0, thread);
  return false;
}

/** sockaddr of the other end: its name. undefined: not connected. */
export function unixPeerName(mem: SharedMemory, socket: number, owner: number): string | undefined {
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return undefined;
  const name = textString(mem, mem.getU32(peer + Socket.name));
  dropSocket(mem, peer, owner);
  return name;
}
